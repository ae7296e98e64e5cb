// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed {

/// Options of a write, or of a write of zeroes.
enum class WriteFlags : std::uint8_t {
    none = 0,
    fua = 1,          ///< durable when it completes
    may_unmap = 2,    ///< write_zeroes of a raw file may make holes. A QED image frees whole
                      ///< clusters with and without this flag
    no_fallback = 4,  ///< write_zeroes: fail with unsupported rather than write zero bytes
    no_hole = 16,     ///< write_zeroes: the range is allocated afterwards, even if zero bytes have
                      ///< to be written for that
    explicit_zero = 8,  ///< write_zeroes: make whole clusters zero clusters even if they read as
                        ///< zeroes already, so that they hide a backing file that is set later
};
constexpr WriteFlags operator|(WriteFlags a, WriteFlags b) {
    return static_cast<WriteFlags>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(WriteFlags flags, WriteFlags flag) {
    return (static_cast<unsigned>(flags) & static_cast<unsigned>(flag)) != 0;
}

}  // namespace qed
