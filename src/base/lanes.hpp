// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

namespace qed {

// Several numbers in a register, as all 64-bit processors have them. What is done to one is done to
// each; only compares of 64-bit numbers are slow on some, so sums and signs take their place.
using Lanes32 = std::uint32_t __attribute__((vector_size(16)));
using Lanes64 = std::uint64_t __attribute__((vector_size(16)));

/// From memory of any alignment.
template <class Lanes>
inline Lanes load_lanes(const void* from) noexcept {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}
inline constexpr std::uint64_t kLaneSign = std::uint64_t{1} << 63;

}  // namespace qed
