// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "support/memory_file.hpp"

namespace qed::test {

/// A qcow2 image in memory, made by hand from docs/format-qcow2.md: clusters of 64 KiB, the L1
/// table in cluster 1, one L2 table in cluster 2, free space after that. Refcounts are left out:
/// reading needs none.
class Qcow2Builder {
public:
    static constexpr std::uint64_t kCluster = 65536;
    static constexpr std::uint64_t kL1At = kCluster;
    static constexpr std::uint64_t kL2At = 2 * kCluster;
    static constexpr std::uint64_t kFirstFree = 3 * kCluster;
    static constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
    static constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;

    explicit Qcow2Builder(std::uint64_t disk_bytes, std::uint64_t file_bytes = 16 * kCluster)
        : file_(std::make_unique<MemoryFile>(file_bytes)) {
        file_->store(0, std::as_bytes(std::span("QFI\xfb", 4)));
        u32(4, 3);
        u32(20, 16);
        u64(24, disk_bytes);
        u32(36, 1);
        u64(40, kL1At);
        u64(48, 0);
        u32(56, 1);
        u32(96, 4);
        u32(100, 104);
        u64(kL1At, kL2At | kCopied);
    }

    void u64(std::uint64_t at, std::uint64_t value) { store(at, value); }
    void u32(std::uint64_t at, std::uint32_t value) { store(at, value); }
    void u8(std::uint64_t at, std::uint8_t value) { store(at, value); }
    void text(std::uint64_t at, std::string_view value) {
        file_->store(at, std::as_bytes(std::span(value.data(), value.size())));
    }
    /// The entry of a guest cluster.
    void entry(std::uint64_t cluster, std::uint64_t raw) { u64(kL2At + cluster * 8, raw); }
    /// The entry of a guest cluster whose compressed data of `bytes` lies at `offset`.
    void compressed_entry(std::uint64_t cluster, std::uint64_t offset, std::uint64_t bytes) {
        const std::uint64_t sectors = (offset % 512 + bytes + 511) / 512 - 1;
        entry(cluster, kCompressed | (sectors << 54) | offset);
    }
    MemoryFile& file() { return *file_; }
    std::unique_ptr<MemoryFile> take() { return std::move(file_); }
    std::vector<std::byte> head() const { return file_->load(0, kCluster); }

private:
    template <class T>
    void store(std::uint64_t at, T value) {
        if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) {
            value = std::byteswap(value);
        }
        std::array<std::byte, sizeof(T)> bytes{};
        std::memcpy(bytes.data(), &value, sizeof value);
        file_->store(at, bytes);
    }
    std::unique_ptr<MemoryFile> file_;
};

}  // namespace qed::test
