// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/table_rules.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/lanes.hpp"

namespace qed {

namespace {

/// The fault in the position of a cluster-aligned range of `bytes` at `entry`.
EntryFault place_fault(std::uint64_t entry, std::uint64_t bytes, const EntryLimits& limits) {
    const std::uint64_t end = limits.file_bytes;
    if ((entry & limits.cluster_mask) != 0) return EntryFault::unaligned;
    if (entry < limits.first_byte) return EntryFault::in_header;
    if (entry >= end) return EntryFault::past_end;
    if (end - entry < bytes) return EntryFault::cut_short;
    const bool is_apart = entry < limits.l1_begin ? limits.l1_begin - entry >= bytes
                                                  : entry - limits.l1_begin >= limits.table_bytes;
    return is_apart ? EntryFault::none : EntryFault::in_l1_table;
}

std::string_view reason(EntryFault fault) {
    switch (fault) {
        case EntryFault::none:
            return "is good";
        case EntryFault::unaligned:
            return "is not aligned to a cluster";
        case EntryFault::in_header:
            return "overlaps the header";
        case EntryFault::past_end:
            return "begins past the end of the file";
        case EntryFault::cut_short:
            return "reaches past the end of the file";
        case EntryFault::in_l1_table:
            return "overlaps the L1 table";
        case EntryFault::in_l2_table:
            return "overlaps an L2 table";
    }
    return "is bad";
}

bool any_overlap(std::vector<std::uint64_t> tables, std::uint64_t table_bytes) {
    std::ranges::sort(tables);
    return std::ranges::adjacent_find(tables, [&](std::uint64_t a, std::uint64_t b) {
               return b - a < table_bytes;
           }) != tables.end();
}

/// Accepted tables, by offset; they do not overlap.
class KeptTables {
public:
    explicit KeptTables(std::uint64_t table_bytes) : table_bytes_(table_bytes) {}

    /// The accepted table that a table at `entry` overlaps; otherwise accepts it and returns null.
    const std::pair<const std::uint64_t, std::uint64_t>* keep(std::uint64_t entry,
                                                              std::uint64_t index) {
        const auto above = by_offset_.lower_bound(entry);
        if (above != by_offset_.end() && above->first - entry < table_bytes_) return &*above;
        if (above != by_offset_.begin()) {
            const auto below = std::prev(above);
            if (entry - below->first < table_bytes_) return &*below;
        }
        by_offset_.emplace_hint(above, entry, index);
        return nullptr;
    }

private:
    std::uint64_t table_bytes_;
    std::map<std::uint64_t, std::uint64_t> by_offset_;
};

}  // namespace

bool EntryLimits::in_l2_table(std::uint64_t offset) const {
    const auto above = std::ranges::upper_bound(l2_tables, offset);
    return above != l2_tables.begin() && offset - *std::prev(above) < table_bytes;
}

// Only sums, ands and ors: the sign bit shows a negative difference or a number of 2^63 or more.
bool are_unallocated_or_places(std::span<const std::uint64_t> entries, const EntryLimits& limits) {
    if (entries.size() % 2 != 0) return false;
    const std::uint64_t first = limits.first_byte;
    const std::uint64_t last = first + limits.inside_bytes - 1;
    const std::uint64_t l1_first = limits.l1_begin;
    const std::uint64_t l1_last = l1_first + limits.table_bytes - 1;
    Lanes64 any{};
    Lanes64 outside{};
    Lanes64 apart_from_l1 = ~Lanes64{};
    for (std::size_t i = 0; i < entries.size(); i += 2) {
        const auto entry = load_lanes<Lanes64>(&entries[i]);
        const Lanes64 is_allocated = entry | -entry;
        any |= entry;
        outside |= ((entry - first) | (last - entry)) & is_allocated;
        apart_from_l1 &= (entry - l1_first) | (l1_last - entry);
    }
    const std::uint64_t all_bits = any[0] | any[1];
    return (all_bits & limits.cluster_mask) == 0 &&
           ((all_bits | outside[0] | outside[1]) & kLaneSign) == 0 &&
           (apart_from_l1[0] & apart_from_l1[1] & kLaneSign) != 0;
}

EntryFault l2_entry_fault(std::uint64_t entry, const EntryLimits& limits) {
    if (entry <= kRawZero) return EntryFault::none;
    const EntryFault fault = place_fault(entry, limits.cluster_mask + 1, limits);
    if (fault != EntryFault::none) return fault;
    return limits.in_l2_table(entry) ? EntryFault::in_l2_table : EntryFault::none;
}

std::string describe_bad_l2_entry(std::uint64_t entry, const L2EntryPlace& place,
                                  const EntryLimits& limits) {
    return fmt::format(
        "L2 table at {:#x}, entry {} (guest offset {:#x}): found {:#x}, expected 0 (unallocated), "
        "1 (zeroes) or a data cluster, a multiple of {:#x} from {:#x} to the end of the file at "
        "{:#x}: it {}",
        place.table.value, place.index, place.guest.value, entry, limits.cluster_mask + 1,
        limits.first_byte, limits.file_bytes, reason(l2_entry_fault(entry, limits)));
}

std::uint64_t l1_entries_reachable(const Geometry& geometry) {
    return geometry.l1_entries_used(geometry.max_image_bytes());
}

std::vector<BadL1Entry> find_bad_l1_entries(std::span<const std::uint64_t> entries,
                                            const EntryLimits& limits) {
    std::vector<BadL1Entry> bad;
    std::vector<std::uint64_t> placed;
    for (std::uint64_t index = 0; index < entries.size(); ++index) {
        const std::uint64_t entry = entries[index];
        if (entry == kRawUnallocated) continue;
        const EntryFault fault = place_fault(entry, limits.table_bytes, limits);
        if (fault == EntryFault::none) {
            placed.push_back(entry);
        } else {
            bad.push_back({.index = index, .entry = entry, .fault = fault});
        }
    }
    if (!any_overlap(std::move(placed), limits.table_bytes)) return bad;

    KeptTables kept(limits.table_bytes);
    for (std::uint64_t index = 0; index < entries.size(); ++index) {
        const std::uint64_t entry = entries[index];
        if (entry == kRawUnallocated) continue;
        if (place_fault(entry, limits.table_bytes, limits) != EntryFault::none) continue;
        if (const auto* other = kept.keep(entry, index)) {
            bad.push_back({.index = index,
                           .entry = entry,
                           .fault = EntryFault::in_l2_table,
                           .other_index = other->second,
                           .other_entry = other->first});
        }
    }
    std::ranges::sort(bad, {}, &BadL1Entry::index);
    return bad;
}

std::string describe_bad_l1_entry(const BadL1Entry& bad, const EntryLimits& limits) {
    std::string message = fmt::format(
        "L1 table at {:#x}, entry {}: found {:#x}, expected 0 (no table) or an L2 table of {:#x} "
        "bytes, at a multiple of {:#x} between {:#x} and the end of the file at {:#x}: it {}",
        limits.l1_begin, bad.index, bad.entry, limits.table_bytes, limits.cluster_mask + 1,
        limits.first_byte, limits.file_bytes, reason(bad.fault));
    if (bad.fault == EntryFault::in_l2_table) {
        message += fmt::format(", that of L1 entry {} at {:#x}", bad.other_index, bad.other_entry);
    }
    return message;
}

}  // namespace qed
