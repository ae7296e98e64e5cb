// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "base/assert.hpp"

namespace qed {

constexpr bool is_power_of_two(std::uint64_t value) noexcept {
    return value != 0 && (value & (value - 1)) == 0;
}

/// a + b, or nothing if it exceeds 64 bits.
constexpr std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
    return sum;
}

constexpr std::optional<std::uint64_t> checked_multiply(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return product;
}

/// The greatest multiple of `unit` (a power of two) that is not above `value`.
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) noexcept {
    QED_ASSERT(is_power_of_two(unit));
    return value & ~(unit - 1);
}

/// The least multiple of `unit` (a power of two) that is not below `value`, or nothing if it
/// exceeds 64 bits.
constexpr std::optional<std::uint64_t> checked_round_up(std::uint64_t value,
                                                        std::uint64_t unit) noexcept {
    QED_ASSERT(is_power_of_two(unit));
    if (value > std::numeric_limits<std::uint64_t>::max() - (unit - 1)) return std::nullopt;
    return round_down(value + (unit - 1), unit);
}

/// The same for values that are known to be far below the limit.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
    QED_ASSERT(value <= std::numeric_limits<std::uint64_t>::max() - (unit - 1));
    return round_down(value + (unit - 1), unit);
}

/// The number of pieces of `size` bytes that hold `value` bytes.
constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t size) noexcept {
    return value / size + (value % size != 0 ? 1 : 0);
}

}  // namespace qed
