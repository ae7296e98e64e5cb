// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "engine/new_tables.hpp"
#include "engine/sector_writer.hpp"
#include "engine/table_committer.hpp"

namespace qed {

class DeferredTables;
class TableSpace;

/// One group of table updates: pins their slices, plans one write for each touched run of table
/// sectors, and publishes the updates whose write has succeeded. A failed write fails the updates
/// in it, and no others. The committer calls the functions in the order of their declarations.
class TableGroup {
public:
    /// Throws std::bad_alloc.
    TableGroup(const TableCommitter::Parts& parts, const TableLayout& layout, bool strict,
               TableUpdate& leader, WaiterQueue joined);
    TableGroup(const TableGroup&) = delete;
    TableGroup& operator=(const TableGroup&) = delete;

    std::size_t size() const noexcept { return updates_.size(); }
    /// Pins the slice of every update of an existing table. False: some slices have to be read
    /// first.
    bool pin_cached_slices();
    Task<Result<void>> pin_slices();
    /// Reserves clusters for the tables that do not exist yet.
    Result<void> reserve_tables();
    /// Whether reserve_space() has anything to do. `defers`: the entries will wait in memory.
    bool lacks_space(const TableSpace& space, bool defers) const noexcept;
    /// Makes the file long enough for the new tables, and reserves space in the file system for
    /// what will be written later. Updates for which there is no space fail.
    Task<Result<void>> reserve_space(TableSpace& space, bool defers);

    /// Instead of writing: publishes the updates to readers and leaves their entries to `deferred`.
    void defer(DeferredTables& deferred);

    bool has_new_tables() const noexcept { return !tables_.empty(); }
    /// Whether a power cut may keep entries or tables of this group, and lose the clusters that
    /// they name.
    bool needs_dirty() const noexcept;
    bool needs_flush() const noexcept;
    /// Gathers the sectors to be written.
    Result<void> plan();
    Task<Result<void>> write_new_tables();
    /// Writes the sectors of existing tables, and the L1 sectors that link the new ones.
    Task<Result<void>> write_entries();
    /// Publishes to readers what was written; drops the slices whose write failed.
    void publish() noexcept;

    std::uint64_t write_count() const noexcept { return writer_.write_count(); }
    std::uint64_t write_bytes() const noexcept { return writer_.write_bytes(); }

private:
    bool lacks_pin(const TableUpdate& update) const noexcept;
    NewTables::Table* new_table_of(const TableUpdate& update) noexcept;
    void plan_update(std::size_t index);
    void fill(SectorRun& run);
    void reserve_scratch();
    Task<Result<void>> write_entries_and_links();
    void fail_updates_of_failed(SectorRuns& runs) noexcept;
    void fail_updates_of(const SectorRun& run) noexcept;
    void fail_new_tables(const Error& error);
    void fail_updates_of_table(std::uint64_t l1_index, const Error& error);
    Task<Result<void>> reserve_slices(TableSpace& space);
    void free_replaced(const TableUpdate& update) noexcept;
    bool show(TableUpdate& update) noexcept;
    void publish_update(TableUpdate& update) noexcept;

    const TableCommitter::Parts& parts_;
    const TableLayout& layout_;
    const bool strict_;
    std::array<std::byte, 1024> first_memory_;  // enough for the lists of a few updates
    std::pmr::monotonic_buffer_resource memory_;
    std::pmr::vector<TableUpdate*> updates_;  // in order of slice and entry
    SectorWriter writer_;
    NewTables tables_;
    SectorRuns new_table_runs_;  // their parts are indexes of updates_
    SectorRuns entry_runs_;
    std::pmr::vector<Entry> scratch_;  // has the size of the largest update
};

}  // namespace qed
