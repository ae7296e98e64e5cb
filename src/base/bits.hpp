// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace qed {

/// The number of set bits. A program for all x86-64 processors must not use popcnt unconditionally,
/// and without it std::popcount() is a call. So this tests for it, with a load and a branch.
inline std::uint32_t count_bits(std::uint64_t word) noexcept {
#if defined(__x86_64__) && !defined(__POPCNT__)
    if (__builtin_cpu_supports("popcnt")) [[likely]] {
        std::uint64_t count = 0;
        asm("popcnt %1, %0" : "=r"(count) : "rm"(word) : "cc");
        return static_cast<std::uint32_t>(count);
    }
    word -= (word >> 1) & 0x5555555555555555U;
    word = (word & 0x3333333333333333U) + ((word >> 2) & 0x3333333333333333U);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fU;
    return static_cast<std::uint32_t>((word * 0x0101010101010101U) >> 56);
#else
    return static_cast<std::uint32_t>(std::popcount(word));
#endif
}

}  // namespace qed
