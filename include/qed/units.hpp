// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>

namespace qed {

/// A byte address on the virtual disk.
struct GuestOffset {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(GuestOffset, GuestOffset) = default;
    friend constexpr GuestOffset operator+(GuestOffset at, std::uint64_t bytes) {
        return {at.value + bytes};
    }
    friend constexpr std::uint64_t operator-(GuestOffset a, GuestOffset b) {
        return a.value - b.value;
    }
    constexpr GuestOffset& operator+=(std::uint64_t bytes) {
        value += bytes;
        return *this;
    }
};

/// A byte address in a file.
struct FileOffset {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(FileOffset, FileOffset) = default;
    friend constexpr FileOffset operator+(FileOffset at, std::uint64_t bytes) {
        return {at.value + bytes};
    }
    friend constexpr std::uint64_t operator-(FileOffset a, FileOffset b) {
        return a.value - b.value;
    }
    constexpr FileOffset& operator+=(std::uint64_t bytes) {
        value += bytes;
        return *this;
    }
};

inline constexpr std::uint64_t kSectorBytes = 512;

}  // namespace qed
