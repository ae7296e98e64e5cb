// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qed {

/// Whether all bytes are zero. Runs at the speed of memory, and stops at the first other byte.
bool is_all_zero(std::span<const std::byte> bytes) noexcept;

/// A run of a buffer that is all zero, or that has to be written.
struct ZeroRun {
    std::size_t begin = 0;
    std::size_t length = 0;
    bool zero = false;
    friend bool operator==(const ZeroRun&, const ZeroRun&) = default;
};

/// Splits `bytes` into alternating runs. Searches for zeroes in whole blocks of `unit` bytes (the
/// last one may be short). Zero runs of less than `least` bytes count as data, unless all bytes are
/// zero.
void split_zero_runs(std::span<const std::byte> bytes, std::size_t unit, std::size_t least,
                     std::vector<ZeroRun>& runs);

}  // namespace qed
