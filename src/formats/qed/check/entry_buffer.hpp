// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "base/aligned_buffer.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// A buffer for table bytes that are read, and then used as entries in place.
class EntryBuffer {
public:
    /// \errors out_of_memory
    static Result<EntryBuffer> create(const BlockFile& file, std::size_t bytes) {
        const std::size_t alignment = std::max<std::size_t>(file.alignment().memory, 64);
        Result<AlignedBuffer> memory = AlignedBuffer::create(bytes, alignment);
        if (!memory) return pass(memory);
        return EntryBuffer(std::move(*memory));
    }

    std::span<std::byte> bytes(std::size_t count) { return memory_.span().first(count); }
    std::span<std::byte> bytes() { return memory_.span(); }
    /// Converts the first `count` bytes that were read to entries in host byte order.
    std::span<std::uint64_t> swap_to_host(std::size_t count) {
        const std::span entries(reinterpret_cast<std::uint64_t*>(memory_.data()),
                                count / sizeof(std::uint64_t));
        if constexpr (std::endian::native == std::endian::big) {
            for (std::uint64_t& entry : entries)
                entry = std::byteswap(entry);
        }
        return entries;
    }
    /// Converts them back to the byte order of the file, before a write.
    std::span<const std::byte> swap_to_file(std::size_t count) {
        swap_to_host(count);
        return bytes(count);
    }

private:
    explicit EntryBuffer(AlignedBuffer memory) : memory_(std::move(memory)) {}
    AlignedBuffer memory_;
};

}  // namespace qed
