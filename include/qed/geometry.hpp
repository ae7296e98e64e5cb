// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/units.hpp"

namespace qed {

inline constexpr std::uint32_t kMinClusterBytes = 1U << 12;
inline constexpr std::uint32_t kMaxClusterBytes = 1U << 26;
inline constexpr std::uint32_t kDefaultClusterBytes = 1U << 16;
inline constexpr std::uint32_t kMaxTableClusters = 16;
inline constexpr std::uint32_t kDefaultTableClusters = 4;

/// The arithmetic of an image: every shift, mask and limit that follows from cluster_size and
/// table_size (docs/format.md section 2). A small value; all members are pure.
class QED_API Geometry {
public:
    /// \errors corrupt_metadata when a size is not a power of two in its range
    static Result<Geometry> make(std::uint32_t cluster_bytes, std::uint32_t table_clusters);

    std::uint64_t cluster_bytes() const { return std::uint64_t{1} << cluster_bits_; }
    unsigned cluster_bits() const { return cluster_bits_; }
    std::uint32_t table_clusters() const { return std::uint32_t{1} << table_cluster_bits_; }
    std::uint64_t table_bytes() const {
        return std::uint64_t{1} << (cluster_bits_ + table_cluster_bits_);
    }
    /// Entries in one table: the base-2 logarithm, then the number.
    unsigned entry_bits() const { return unsigned{cluster_bits_} + table_cluster_bits_ - 3; }
    std::uint64_t table_entries() const { return std::uint64_t{1} << entry_bits(); }
    /// Guest bytes that one L2 table maps: the base-2 logarithm, then the number.
    unsigned table_span_bits() const { return cluster_bits_ + entry_bits(); }
    std::uint64_t table_span_bytes() const { return std::uint64_t{1} << table_span_bits(); }
    /// The largest legal image size: what the tables can map, and at most 2^63 - 512 bytes.
    std::uint64_t max_image_bytes() const;

    std::uint64_t l1_index(GuestOffset at) const { return at.value >> table_span_bits(); }
    std::uint64_t l2_index(GuestOffset at) const {
        return (at.value >> cluster_bits_) & (table_entries() - 1);
    }
    std::uint64_t in_cluster(GuestOffset at) const { return at.value & (cluster_bytes() - 1); }
    std::uint64_t cluster_index(GuestOffset at) const { return at.value >> cluster_bits_; }
    GuestOffset cluster_start(GuestOffset at) const { return {at.value & ~(cluster_bytes() - 1)}; }
    /// L1 entries (L2 tables) that an image of `image_bytes` can use.
    std::uint64_t l1_entries_used(std::uint64_t image_bytes) const {
        return ceil_shift(image_bytes, table_span_bits());
    }
    /// Clusters that hold `bytes`, rounded up; never overflows.
    std::uint64_t clusters_for(std::uint64_t bytes) const {
        return ceil_shift(bytes, cluster_bits_);
    }
    std::uint64_t round_up_cluster(std::uint64_t bytes) const {
        return clusters_for(bytes) << cluster_bits_;
    }
    bool is_cluster_aligned(std::uint64_t offset) const {
        return (offset & (cluster_bytes() - 1)) == 0;
    }

    friend bool operator==(const Geometry&, const Geometry&) = default;

private:
    Geometry(unsigned cluster_bits, unsigned table_cluster_bits)
        : cluster_bits_(cluster_bits), table_cluster_bits_(table_cluster_bits) {}
    static std::uint64_t ceil_shift(std::uint64_t value, unsigned bits) {
        const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
        return (value >> bits) + ((value & mask) != 0 ? 1 : 0);
    }

    unsigned cluster_bits_;
    unsigned table_cluster_bits_;
};

/// Table clusters of an image with clusters of `cluster_bytes`: the default number, or the smallest
/// larger one with which the disk can have `image_bytes`. Makes no difference for illegal sizes.
QED_API std::uint32_t table_clusters_for(std::uint32_t cluster_bytes, std::uint64_t image_bytes);

}  // namespace qed
