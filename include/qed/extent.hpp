// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/units.hpp"

namespace qed {

enum class ExtentKind : std::uint8_t {
    unallocated,  ///< read the backing file, or zeroes where there is none
    zero,         ///< reads as zeroes, whatever the backing file holds
    data,         ///< at `file_offset` in the image file
};

/// A run of guest bytes that are stored in one way.
struct Extent {
    ExtentKind kind = ExtentKind::unallocated;
    FileOffset file_offset{};  ///< only for data
    std::uint64_t length = 0;  ///< bytes
    friend bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace qed
