// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "cache/entry.hpp"
#include "cache/table_shape.hpp"
#include "qed/units.hpp"

namespace qed {

// The directory of the largest legal image has at most 2^22 slots (64 MiB of address space) and
// blocks of 2^11 slices, where the image has 2^33 of them.
inline constexpr unsigned kMaxSlotBits = 22;
inline constexpr unsigned kMinBlockBits = 6;
inline constexpr unsigned kMaxBlockBits = 11;

/// The slice of a guest offset and its place in the directory: the shifts and masks that the
/// readers of a cache need, computed once.
///
///     guest offset = | slot | slice in block | entry in slice | offset in cluster |
///     guest offset = | table |  slice in table | entry in slice | offset in cluster |
class SliceAddressing {
public:
    /// Slices of the requested size, but no larger than a table, and not so small that the
    /// directory would exceed its limits.
    static SliceAddressing make(const TableShape& tables) noexcept {
        const auto bits_for = [&](unsigned entry_bits) {
            const std::uint64_t last = tables.max_guest_bytes - 1;
            return static_cast<unsigned>(
                std::bit_width(last >> (entry_bits + tables.entry_span_bits)));
        };
        auto entry_bits = static_cast<unsigned>(std::countr_zero(
            std::min<std::uint64_t>(tables.slice_entries, tables.entries_per_table)));
        while (bits_for(entry_bits) > kMaxSlotBits + kMaxBlockBits)
            ++entry_bits;
        const unsigned slice_bits = bits_for(entry_bits);
        const unsigned block_bits =
            std::max(kMinBlockBits, slice_bits > kMaxSlotBits ? slice_bits - kMaxSlotBits : 0U);
        return {tables, entry_bits, block_bits};
    }

    // Derived from a guest offset.
    std::uint64_t table(GuestOffset at) const noexcept { return at.value >> table_span_bits(); }
    std::uint64_t slice(GuestOffset at) const noexcept { return at.value >> slice_shift_; }
    std::uint64_t slot(GuestOffset at) const noexcept { return at.value >> slot_shift_; }
    std::uint32_t in_block(GuestOffset at) const noexcept {
        return static_cast<std::uint32_t>(at.value >> slice_shift_) & block_mask_;
    }
    std::uint32_t entry(GuestOffset at) const noexcept {
        return static_cast<std::uint32_t>(at.value >> cluster_bits_) & entry_mask_;
    }
    std::uint64_t in_cluster(GuestOffset at) const noexcept { return at.value & cluster_mask_; }

    // Derived from the number of a slice.
    std::uint64_t slot_of(std::uint64_t slice) const noexcept { return slice >> block_bits_; }
    std::uint32_t index_in_block(std::uint64_t slice) const noexcept {
        return static_cast<std::uint32_t>(slice) & block_mask_;
    }
    std::uint64_t slice_at(std::uint64_t slot, std::uint32_t in_block) const noexcept {
        return (slot << block_bits_) + in_block;
    }
    std::uint64_t table_of(std::uint64_t slice) const noexcept { return slice >> table_bits_; }
    std::uint64_t index_in_table(std::uint64_t slice) const noexcept {
        return slice & (slices_in_table() - 1);
    }
    std::uint64_t first_slice_of_table(std::uint64_t table) const noexcept {
        return table << table_bits_;
    }

    // Sizes.
    std::uint64_t cluster_bytes() const noexcept { return cluster_mask_ + 1; }
    std::uint64_t clusters_for(std::uint64_t bytes) const noexcept {
        return (bytes + cluster_mask_) >> cluster_bits_;
    }
    std::uint32_t slice_entries() const noexcept { return entry_mask_ + 1; }
    /// Of the file.
    std::uint32_t slice_bytes() const noexcept {
        return slice_entries() / unit_entries_ * unit_bytes_;
    }
    std::uint32_t slices_in_block() const noexcept { return block_mask_ + 1; }
    std::uint64_t slices_in_table() const noexcept { return std::uint64_t{1} << table_bits_; }
    unsigned cluster_bits() const noexcept { return cluster_bits_; }
    unsigned entry_bits() const noexcept { return slice_shift_ - cluster_bits_; }
    unsigned block_bits() const noexcept { return block_bits_; }
    /// Guest bytes that a table maps, as a power of two.
    unsigned table_span_bits() const noexcept { return slice_shift_ + table_bits_; }

private:
    SliceAddressing(const TableShape& tables, unsigned entry_bits, unsigned block_bits) noexcept
        : cluster_bits_(tables.entry_span_bits),
          slice_shift_(cluster_bits_ + entry_bits),
          slot_shift_(slice_shift_ + block_bits),
          table_bits_(static_cast<unsigned>(std::countr_zero(tables.entries_per_table)) -
                      entry_bits),
          block_bits_(block_bits),
          unit_bytes_(tables.unit_bytes),
          unit_entries_(tables.unit_entries),
          entry_mask_((1U << entry_bits) - 1),
          block_mask_((1U << block_bits) - 1),
          cluster_mask_((std::uint64_t{1} << cluster_bits_) - 1) {}

    unsigned cluster_bits_;
    unsigned slice_shift_;
    unsigned slot_shift_;
    unsigned table_bits_;  // slices in a table
    unsigned block_bits_;  // slices in a block
    std::uint32_t unit_bytes_;
    std::uint32_t unit_entries_;
    std::uint32_t entry_mask_;
    std::uint32_t block_mask_;
    std::uint64_t cluster_mask_;
};

}  // namespace qed
