// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "base/endian.hpp"
#include "cache/mapping_cache.hpp"
#include "qed/block_file.hpp"
#include "qed/geometry.hpp"

namespace qed::bench {

/// The layout of the clusters of a generated image.
enum class Layout : std::uint8_t {
    sequential,  ///< freshly installed: every cluster mapped, in order
    aged,        ///< some 40 clusters of each slice, scattered over the file
    zeroed,      ///< every entry is a zero cluster
    scattered,   ///< every cluster mapped, at random places
    extents,     ///< every cluster mapped, in extents of 1 to 32 clusters at random places
};

inline std::uint64_t mix(std::uint64_t value) noexcept {
    value = (value ^ (value >> 31)) * 0x9e3779b97f4a7c15U;
    value = (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9U;
    return value ^ (value >> 32);
}

/// An image file that consists of L2 tables, which are computed when they are read. Table `i` is at
/// (i + 1) x table_bytes.
class MadeTables final : public BlockFile {
public:
    MadeTables(const Geometry& geometry, Layout layout, std::uint64_t first_cluster = 4096)
        : geometry_(geometry), layout_(layout), first_cluster_(first_cluster) {}

    Entry table(std::uint64_t l1_index) const noexcept {
        return (l1_index + 1) * geometry_.table_bytes();
    }
    Entry entry(std::uint64_t guest_cluster) const noexcept {
        const std::uint64_t hash = mix(guest_cluster + 1);
        std::uint64_t cluster = first_cluster_;
        switch (layout_) {
            case Layout::zeroed:
                return kZeroEntry;
            case Layout::sequential:
                cluster += guest_cluster;
                break;
            case Layout::aged:
                if (hash % 512 >= 40) return kUnallocatedEntry;
                cluster += mix(hash) & kClusterMask;
                break;
            case Layout::scattered:
                cluster += hash & kClusterMask;
                break;
            case Layout::extents:
                cluster += in_extent(guest_cluster);
                break;
        }
        return cluster << geometry_.cluster_bits();
    }

    bool start(IoOp& op) noexcept override {
        const std::uint64_t table = op.offset / geometry_.table_bytes() - 1;
        const std::uint64_t first =
            table * geometry_.table_entries() + op.offset % geometry_.table_bytes() / 8;
        auto* out = static_cast<std::byte*>(op.vector()->iov_base);
        for (std::uint64_t i = 0; i < op.length / 8; ++i)
            store_le(out + i * 8, entry(first + i));
        return false;
    }
    Result<std::uint64_t> size() noexcept override { return std::uint64_t{1} << 50; }
    bool is_read_only() const noexcept override { return true; }
    std::string_view name() const noexcept override { return "made tables"; }

private:
    static constexpr std::uint64_t kClusterMask = (1U << 24) - 1;
    // Each 32 clusters are one extent, or two that are split at a random place.
    std::uint64_t in_extent(std::uint64_t guest_cluster) const noexcept {
        const std::uint64_t group = guest_cluster / 32;
        const std::uint64_t cut = mix(group) % 32;
        const std::uint64_t piece = group * 2 + (guest_cluster % 32 >= cut ? 1 : 0);
        return (mix(piece + 7) & kClusterMask) + guest_cluster % 32;
    }

    Geometry geometry_;
    Layout layout_;
    std::uint64_t first_cluster_;
};

/// Accepts every entry: generated tables have no invalid ones.
class TrustingDecoder final : public EntryDecoder {
public:
    void decode(std::uint64_t, std::uint64_t, std::span<const std::byte> raw,
                std::span<Entry> entries) const noexcept override {
        for (std::size_t i = 0; i < entries.size(); ++i)
            entries[i] = load_le64(raw, i);
    }
};

}  // namespace qed::bench
