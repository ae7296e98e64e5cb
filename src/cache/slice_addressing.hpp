// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

#include "qed/geometry.hpp"
#include "qed/units.hpp"

namespace qed {

/// Which slice, and which place and slot of the directory, a guest offset belongs to: the shifts
/// and masks that a cache's readers need, worked out once.
///
///     guest offset = | place | slot | entry in slice | offset in cluster |
class SliceAddressing {
public:
    SliceAddressing(const Geometry& geometry, unsigned entry_bits, unsigned leaf_bits)
        : cluster_bits_(geometry.cluster_bits()),
          slice_shift_(cluster_bits_ + entry_bits),
          place_shift_(slice_shift_ + leaf_bits),
          table_bits_(geometry.entry_bits() - entry_bits),
          leaf_bits_(leaf_bits),
          entry_mask_((1U << entry_bits) - 1),
          slot_mask_((1U << leaf_bits) - 1),
          cluster_mask_(geometry.cluster_bytes() - 1) {}

    std::uint64_t slice(GuestOffset at) const noexcept { return at.value >> slice_shift_; }
    std::uint64_t place(GuestOffset at) const noexcept { return at.value >> place_shift_; }
    std::uint32_t slot(GuestOffset at) const noexcept {
        return static_cast<std::uint32_t>(at.value >> slice_shift_) & slot_mask_;
    }
    std::uint32_t entry(GuestOffset at) const noexcept {
        return static_cast<std::uint32_t>(at.value >> cluster_bits_) & entry_mask_;
    }
    std::uint64_t in_cluster(GuestOffset at) const noexcept { return at.value & cluster_mask_; }
    std::uint64_t cluster_bytes() const noexcept { return cluster_mask_ + 1; }
    std::uint64_t clusters_for(std::uint64_t bytes) const noexcept {
        return (bytes + cluster_mask_) >> cluster_bits_;
    }

    std::uint64_t place_of_slice(std::uint64_t slice) const noexcept { return slice >> leaf_bits_; }
    std::uint32_t slot_of_slice(std::uint64_t slice) const noexcept {
        return static_cast<std::uint32_t>(slice) & slot_mask_;
    }
    std::uint64_t slice_at(std::uint64_t place, std::uint32_t slot) const noexcept {
        return (place << leaf_bits_) + slot;
    }
    std::uint64_t table_of_slice(std::uint64_t slice) const noexcept {
        return slice >> table_bits_;
    }
    std::uint64_t slice_in_table(std::uint64_t slice) const noexcept {
        return slice & (slices_in_table() - 1);
    }
    std::uint64_t first_slice_of_table(std::uint64_t table) const noexcept {
        return table << table_bits_;
    }
    std::uint64_t slices_in_table() const noexcept { return std::uint64_t{1} << table_bits_; }
    std::uint32_t entries_in_slice() const noexcept { return entry_mask_ + 1; }
    std::uint32_t slots_in_leaf() const noexcept { return slot_mask_ + 1; }
    unsigned leaf_bits() const noexcept { return leaf_bits_; }
    unsigned entry_bits() const noexcept { return slice_shift_ - cluster_bits_; }

private:
    unsigned cluster_bits_;
    unsigned slice_shift_;
    unsigned place_shift_;
    unsigned table_bits_;  // slices in a table
    unsigned leaf_bits_;   // slices in a leaf
    std::uint32_t entry_mask_;
    std::uint32_t slot_mask_;
    std::uint64_t cluster_mask_;
};

}  // namespace qed
