// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "qed/error.hpp"

namespace qed {

/// Calls `write(offset, zeroes)` until `length` bytes are written.
template <class Write>
Result<void> write_zero_bytes(std::uint64_t offset, std::uint64_t length, Write write) {
    constexpr std::uint64_t kBufferBytes = 1U << 20U;
    const std::vector<std::byte> zeroes(std::min(length, kBufferBytes));
    while (length > 0) {
        const std::span<const std::byte> piece(zeroes.data(),
                                               std::min<std::uint64_t>(length, zeroes.size()));
        QED_CHECK(write(offset, piece));
        offset += piece.size();
        length -= piece.size();
    }
    return {};
}

}  // namespace qed
