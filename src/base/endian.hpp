// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace qed {

/// The little-endian value at `bytes`, any alignment.
template <std::unsigned_integral T>
T load_le(const std::byte* bytes) noexcept {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
    return value;
}

/// Stores `value` little-endian at `bytes`, any alignment.
template <std::unsigned_integral T>
void store_le(std::byte* bytes, T value) noexcept {
    if constexpr (std::endian::native == std::endian::big) value = std::byteswap(value);
    std::memcpy(bytes, &value, sizeof value);
}

/// Entry `index` of an on-disk table of 64-bit values.
inline std::uint64_t load_le64(std::span<const std::byte> table, std::size_t index) noexcept {
    return load_le<std::uint64_t>(table.subspan(index * sizeof(std::uint64_t)).data());
}
/// The first entries of a table, as many as `values` has elements.
inline void load_le64(std::span<const std::byte> table, std::span<std::uint64_t> values) noexcept {
    std::memcpy(values.data(), table.first(values.size_bytes()).data(), values.size_bytes());
    if constexpr (std::endian::native == std::endian::big) {
        for (std::uint64_t& value : values)
            value = std::byteswap(value);
    }
}
inline void store_le64(std::span<std::byte> table, std::size_t index,
                       std::uint64_t value) noexcept {
    store_le(table.subspan(index * sizeof(std::uint64_t)).data(), value);
}
/// Stores consecutive entries, starting at `index`.
inline void store_le64(std::span<std::byte> table, std::size_t index,
                       std::span<const std::uint64_t> values) noexcept {
    if constexpr (std::endian::native == std::endian::big) {
        for (const std::uint64_t value : values)
            store_le64(table, index++, value);
    } else {
        const auto bytes = table.subspan(index * sizeof(std::uint64_t), values.size_bytes());
        std::memcpy(bytes.data(), values.data(), bytes.size());
    }
}

}  // namespace qed
