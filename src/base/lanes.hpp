// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

namespace qed {

// Several numbers in one register, as on all 64-bit processors. Every operation applies to each of
// them. Comparing 64-bit numbers is slow on some processors, so sums and signs are used instead.
using Lanes32 = std::uint32_t __attribute__((vector_size(16)));
using Lanes64 = std::uint64_t __attribute__((vector_size(16)));

/// Loads from memory of any alignment.
template <class Lanes>
inline Lanes load_lanes(const void* from) noexcept {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}
inline constexpr std::uint64_t kLaneSign = std::uint64_t{1} << 63;

}  // namespace qed
