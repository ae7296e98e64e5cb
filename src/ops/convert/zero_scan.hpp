// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qed {

/// Whether all bytes are zero. Runs at the speed of memory and stops at the first other byte.
bool is_all_zero(std::span<const std::byte> bytes) noexcept;

/// A piece of a buffer that is all zero, or to be written.
struct ZeroRun {
    std::size_t begin = 0;
    std::size_t length = 0;
    bool zero = false;
    friend bool operator==(const ZeroRun&, const ZeroRun&) = default;
};

/// Cuts `bytes` into alternating runs. Zeroes are looked for in whole blocks of `unit` bytes (the
/// last one may be short); zero runs of less than `least` bytes are written like data, unless they
/// are all there is.
void split_zero_runs(std::span<const std::byte> bytes, std::size_t unit, std::size_t least,
                     std::vector<ZeroRun>& runs);

}  // namespace qed
