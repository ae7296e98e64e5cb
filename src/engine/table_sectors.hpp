// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "cache/mapping_cache.hpp"
#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

// The sectors of L2 tables and of the L1 table as the engine writes them.

inline constexpr std::uint32_t kTableEntryBytes = sizeof(Entry);

/// The number of bytes of which offset and length of a table write are multiples.
std::uint32_t table_write_unit(const BlockFile& file, const MappingCache& cache) noexcept;

/// Stores the entries of a slice into `raw`, starting at entry `first`; without a pin the slice is
/// one of a new table, whose entries are all unallocated. `raw` is a multiple of a sector.
/// \returns false if one of them is bad: its raw value is not kept, and a guess must not replace it
bool store_slice_sectors(const SliceRef& pin, std::uint32_t first,
                         std::span<std::byte> raw) noexcept;

/// Stores the L1 entries in memory into `raw`, starting at entry `first`.
void store_l1_sectors(const MappingCache& cache, std::uint64_t first,
                      std::span<std::byte> raw) noexcept;

/// Consecutive sectors of one slice, or of the L1 table, that become one write.
struct SectorRun {
    std::uint64_t file_offset = 0;
    std::uint32_t begin = 0;  ///< bytes after the start of the slice or of the L1 table
    std::uint32_t end = 0;
    std::size_t buffer_offset = 0;  ///< of its content, in SectorWriter
    std::size_t first_part = 0;     ///< the parts, numbered by the owner, whose entries it holds
    std::size_t end_part = 0;
    bool is_written = false;
    std::optional<Error> error;  ///< it cannot be written, or its write has failed

    std::uint32_t bytes() const noexcept { return end - begin; }
    std::uint32_t first_entry() const noexcept { return begin / kTableEntryBytes; }
};

/// The sectors that hold some ranges of entries, as few runs as possible.
class SectorRuns {
public:
    SectorRuns(std::uint32_t unit, std::pmr::memory_resource& memory)
        : unit_(unit), runs_(&memory) {}

    /// Adds the sectors of the entries [first, end) of the slice or L1 table at `origin`. Parts are
    /// added in the order of the file.
    void add(std::uint64_t origin, std::uint64_t first, std::uint64_t end, std::size_t part);

    bool empty() const noexcept { return runs_.empty(); }
    std::span<SectorRun> all() noexcept { return runs_; }

private:
    const std::uint32_t unit_;
    std::pmr::vector<SectorRun> runs_;
};

}  // namespace qed
