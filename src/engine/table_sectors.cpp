// SPDX-License-Identifier: Apache-2.0
#include "engine/table_sectors.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "base/endian.hpp"
#include "base/lanes.hpp"
#include "base/math.hpp"

namespace qed {

std::uint32_t table_write_unit(const BlockFile& file, const MappingCache& cache) noexcept {
    return std::clamp<std::uint32_t>(file.alignment().offset, kSectorBytes, cache.slice_bytes());
}

namespace {

using SectorEntries = std::array<Entry, kSectorBytes / kTableEntryBytes>;

bool has_bad_entry(const SectorEntries& entries) {
    Lanes64 any{};
    for (std::size_t i = 0; i < entries.size(); i += 2)
        any |= load_lanes<Lanes64>(&entries[i]);
    // Offsets of clusters do not have the bit, so most sectors need no search.
    return ((any[0] | any[1]) & kBadEntry) != 0 &&
           std::ranges::find(entries, kBadEntry) != entries.end();
}

}  // namespace

bool store_slice_sectors(const SliceRef& pin, std::uint32_t first,
                         std::span<std::byte> raw) noexcept {
    SectorEntries sector;
    if (!pin) sector.fill(kUnallocatedEntry);
    QED_ASSERT(raw.size() % kSectorBytes == 0);
    for (std::uint32_t done = 0; done < raw.size() / kTableEntryBytes; done += sector.size()) {
        if (pin) pin.entries(first + done, sector);
        if (has_bad_entry(sector)) return false;
        store_le64(raw, done, sector);
    }
    return true;
}

void store_l1_sectors(const MappingCache& cache, std::uint64_t first,
                      std::span<std::byte> raw) noexcept {
    for (std::size_t i = 0; i < raw.size() / kTableEntryBytes; ++i)
        store_le64(raw, i, cache.l1(first + i));
}

void SectorRuns::add(std::uint64_t origin, std::uint64_t first, std::uint64_t end,
                     std::size_t part) {
    const auto begin_byte = static_cast<std::uint32_t>(round_down(first * kTableEntryBytes, unit_));
    const auto end_byte = static_cast<std::uint32_t>(round_up(end * kTableEntryBytes, unit_));
    if (!runs_.empty()) {
        SectorRun& last = runs_.back();
        const bool has_same_origin = last.file_offset - last.begin == origin;
        if (has_same_origin && begin_byte <= last.end && last.end_part == part) {
            last.end = std::max(last.end, end_byte);
            last.end_part = part + 1;
            return;
        }
    }
    runs_.push_back({.file_offset = origin + begin_byte,
                     .begin = begin_byte,
                     .end = end_byte,
                     .first_part = part,
                     .end_part = part + 1,
                     .error = {}});
}

}  // namespace qed
