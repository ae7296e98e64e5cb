// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "qed/geometry.hpp"
#include "qed/header.hpp"
#include "qed/units.hpp"

namespace qed {

/// Table entries as they are in the file (docs/format.md section 3); QedEntryDecoder turns them
/// into the Entry of the cache.
inline constexpr std::uint64_t kRawUnallocated = 0;
inline constexpr std::uint64_t kRawZero = 1;

/// The meaning of an L2 entry. `bad`: it breaks the rules (docs/format.md sections 2 and 3).
enum class EntryKind : std::uint8_t { unallocated, zero, data, bad };

/// Why an entry of either table is bad.
enum class EntryFault : std::uint8_t {
    none,
    unaligned,    ///< bits below the cluster size are set
    in_header,    ///< names a header cluster
    past_end,     ///< starts past the end of the file
    cut_short,    ///< starts inside the file, but ends past its end
    in_l1_table,  ///< names a cluster of the L1 table
    in_l2_table,  ///< names a cluster of an L2 table that another entry names
};

/// The range of the clusters that entries may name. A small value; all members are pure.
/// The file may grow while it is in use: make a new value when its length has changed.
struct EntryLimits {
    std::uint64_t cluster_mask = 0;  ///< low bits that must be clear
    std::uint64_t table_bytes = 0;
    std::uint64_t first_byte = 0;    ///< end of the header
    std::uint64_t inside_bytes = 0;  ///< from first_byte to the end of the last whole cluster
    std::uint64_t file_bytes = 0;
    std::uint64_t l1_begin = 0;  ///< the L1 table, table_bytes long
    /// The offsets of the L2 tables, ascending; may be empty if the caller does not know them.
    std::span<const std::uint64_t> l2_tables;

    static EntryLimits make(const Header& header, const Geometry& geometry,
                            std::uint64_t file_bytes,
                            std::span<const std::uint64_t> l2_tables = {}) {
        const std::uint64_t mask = geometry.cluster_bytes() - 1;
        const std::uint64_t first = header.header_bytes();
        return {.cluster_mask = mask,
                .table_bytes = geometry.table_bytes(),
                .first_byte = first,
                .inside_bytes = file_bytes > first ? (file_bytes & ~mask) - first : 0,
                .file_bytes = file_bytes,
                .l1_begin = header.l1_table_offset.value,
                .l2_tables = l2_tables};
    }

    /// Whether `entry` may name a data cluster, given the header, the L1 table and the file's end.
    /// Three compares without a branch, so that loops over a table can be vectorized.
    bool is_valid_cluster_offset(std::uint64_t entry) const {
        return static_cast<bool>(static_cast<unsigned>((entry & cluster_mask) == 0) &
                                 static_cast<unsigned>(entry - first_byte < inside_bytes) &
                                 static_cast<unsigned>(entry - l1_begin >= table_bytes));
    }
    /// Whether `offset` lies in one of `l2_tables`. \cost one binary search
    bool in_l2_table(std::uint64_t offset) const;
};

/// The meaning of `entry` of an L2 table.
inline EntryKind classify_l2_entry(std::uint64_t entry, const EntryLimits& limits) {
    if (entry <= kRawZero) return static_cast<EntryKind>(entry);
    if (!limits.is_valid_cluster_offset(entry)) return EntryKind::bad;
    if (!limits.l2_tables.empty() && limits.in_l2_table(entry)) return EntryKind::bad;
    return EntryKind::data;
}

/// Whether each of the entries is unallocated or is_valid_cluster_offset(). Much faster than a test
/// of each entry, but does not say which entry is invalid.
bool are_unallocated_or_places(std::span<const std::uint64_t> entries, const EntryLimits& limits);

/// The reason why classify_l2_entry() calls `entry` bad; none if it does not.
EntryFault l2_entry_fault(std::uint64_t entry, const EntryLimits& limits);

/// The position of an L2 entry, for messages.
struct L2EntryPlace {
    FileOffset table;         ///< its table
    std::uint64_t index = 0;  ///< in the table
    GuestOffset guest;        ///< the guest cluster that it maps
};

/// The fault of a bad L2 entry: what was expected, what was found, and where.
std::string describe_bad_l2_entry(std::uint64_t entry, const L2EntryPlace& place,
                                  const EntryLimits& limits);

/// An L1 entry that names no usable table.
struct BadL1Entry {
    std::uint64_t index = 0;
    std::uint64_t entry = 0;
    EntryFault fault = EntryFault::none;
    /// With in_l2_table: the lower index whose table it overlaps, and that table.
    std::uint64_t other_index = 0;
    std::uint64_t other_entry = 0;

    friend bool operator==(const BadL1Entry&, const BadL1Entry&) = default;
};

/// The number of L1 entries that the largest legal image can use; the entries after them are
/// padding of the table. Entries past the end of the image but below this are checked like all
/// others: the clusters they name are in use, and growing the image would make them visible.
std::uint64_t l1_entries_reachable(const Geometry& geometry);

/// The bad entries among `entries` (host byte order, starting at index 0), ascending. Of two tables
/// that overlap, the one with the lower index counts as good and the other as bad. Which one owned
/// the clusters first is unknown, but one complete table is better than none.
/// \cost n log n; memory of the order of `entries`
std::vector<BadL1Entry> find_bad_l1_entries(std::span<const std::uint64_t> entries,
                                            const EntryLimits& limits);

/// The fault of a bad L1 entry: what was expected, what was found, and where.
std::string describe_bad_l1_entry(const BadL1Entry& bad, const EntryLimits& limits);

}  // namespace qed
