// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "support/memory_file.hpp"

namespace qed::fuzz {

/// No input makes a file larger than this: a write past it fails with ENOSPC.
constexpr std::uint64_t kMaxFileBytes = 64U << 20;

/// A file in memory that holds the input.
inline std::unique_ptr<test::MemoryFile> file_of(std::span<const std::uint8_t> input) {
    auto file = std::make_unique<test::MemoryFile>();
    file->max_bytes = kMaxFileBytes;
    file->store(0, std::as_bytes(input));
    return file;
}

inline std::span<const std::uint8_t> bytes_of(std::span<const std::byte> content) {
    return {reinterpret_cast<const std::uint8_t*>(content.data()), content.size()};
}

}  // namespace qed::fuzz
