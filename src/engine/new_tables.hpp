// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "engine/sector_writer.hpp"
#include "engine/table_committer.hpp"

namespace qed {

class TableSpace;

/// The L2 tables that one group of updates adds to the image: their space in the file, and the L1
/// entries that link them. Each table is written before the L1 entry that names it.
class NewTables {
public:
    struct Table {
        std::uint64_t l1_index = 0;
        FileOffset offset{};
        bool is_linked = false;  ///< its content is written, and its L1 entry too or about to be
    };

    NewTables(const TableCommitter::Parts& parts, const TableLayout& layout, std::uint32_t unit,
              std::pmr::memory_resource& memory);

    bool empty() const noexcept { return tables_.empty(); }
    /// Reserves space for the table of this L1 entry, unless it is the table that was added last.
    /// L1 indexes ascend. \errors no_space
    Result<void> add(std::uint64_t l1_index);
    /// Instead: the table of this L1 entry has been moved to `offset`, which is the caller's.
    void add_moved(std::uint64_t l1_index, FileOffset offset);
    /// Makes the file long enough for the table, and reserves its space in the file system. On a
    /// full disk, or in a file that cannot grow, the table moves to free clusters that have space.
    Task<Result<void>> make_room(Table& table, TableSpace& space);
    /// Takes back a table that was not written: it is not a new table any more.
    void abandon(const Table& table) noexcept;
    /// The new table of this L1 entry, or null.
    Table* find(std::uint64_t l1_index) noexcept;
    std::span<Table> all() noexcept { return tables_; }

    /// Plans the writes of the L1 sectors.
    void plan(SectorWriter& writer);
    /// Writes the L1 entries of all tables that are marked as linked. Tables whose L1 entry could
    /// not be written are no longer linked, and memory then follows the file.
    /// \errors out_of_memory: no L1 entry was written
    Task<Result<void>> link(SectorWriter& writer);
    void unlink_all() noexcept;

private:
    Task<Result<void>> reserve(const Table& table, TableSpace& space);
    Task<Result<void>> move_to_free_clusters(Table& table);
    Task<Result<void>> clear(FileOffset at);
    void fill(const SectorRun& run, std::span<std::byte> raw) noexcept;
    Task<Result<void>> reload(const SectorRun& run, std::span<std::byte> raw);

    const TableCommitter::Parts& parts_;
    const TableLayout& layout_;
    std::pmr::vector<Table> tables_;  // in order of the L1 index
    SectorRuns l1_runs_;              // their parts are indexes of tables_
};

}  // namespace qed
