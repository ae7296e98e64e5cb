// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "engine/table_committer.hpp"

namespace qed {

class DeferredTables;

/// One group of table updates: pins, new tables, and one write for each touched run of table
/// sectors. A failed write fails the updates in it, and no others.
class TableGroup {
public:
    /// Throws std::bad_alloc.
    TableGroup(const TableCommitter::Parts& parts, const TableLayout& layout, bool strict,
               TableUpdate& leader, WaiterQueue joined);
    TableGroup(const TableGroup&) = delete;
    TableGroup& operator=(const TableGroup&) = delete;

    std::size_t size() const noexcept { return members_.size(); }
    /// Pins the slice of every update of an existing table. False: some slices have to be read
    /// first.
    bool pin_cached_slices();
    Task<Result<void>> pin_slices();
    /// Reserves file space for the tables that do not exist yet. Returns its end, or 0 if there are
    /// none. The space reads as zeroes when the file is so long.
    Result<std::uint64_t> reserve_tables();
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

    /// Instead of writing: publishes the updates to readers and leaves their entries to `deferred`.
    void defer(DeferredTables& deferred);

    std::uint64_t write_count() const noexcept { return write_count_; }
    std::uint64_t write_bytes() const noexcept { return write_bytes_; }

private:
    struct NewTable {
        std::uint64_t l1_index = 0;
        FileOffset offset{};
        bool linked = false;
    };
    /// Consecutive sectors of one slice, or of the L1 table, that become one write.
    struct SectorRun {
        std::uint64_t slice = 0;
        std::uint64_t file_offset = 0;
        std::uint32_t begin = 0;  ///< bytes in the slice or in the L1 table's loaded part
        std::uint32_t end = 0;
        std::size_t buffer_offset = 0;
        std::size_t first_member = 0;
        std::size_t end_member = 0;
        bool failed = false;
        bool is_written = false;
        std::span<TableUpdate* const> members(std::span<TableUpdate* const> all) const {
            return all.subspan(first_member, end_member - first_member);
        }
    };

    NewTable* new_table_of(const TableUpdate& update) noexcept;
    bool lacks_pin(const TableUpdate& update) const noexcept;
    void gather_runs();
    void fill_run(SectorRun& run);
    void refuse_bad_entry(SectorRun& run);
    void reserve_scratch();
    void gather_l1_runs();
    void fill_l1_run(const SectorRun& run);
    void fail_run(SectorRun& run, const Error& error);
    /// Fails only before its first write. The outcome of each write is in its run.
    Task<Result<void>> write_runs(std::span<SectorRun> runs);
    Task<Result<void>> write_entries_and_links();
    void fail_new_tables(const Error& error) noexcept;
    void unlink_tables(const SectorRun& l1_run);
    Task<Result<void>> reload_l1(const SectorRun& run);
    void free_replaced(const TableUpdate& update) noexcept;
    bool show(TableUpdate& update) noexcept;
    void publish_update(TableUpdate& update) noexcept;

    const TableCommitter::Parts& parts_;
    const TableLayout& layout_;
    const bool strict_;
    std::array<std::byte, 1024> first_memory_;  // enough for the lists of a few updates
    std::pmr::monotonic_buffer_resource memory_;
    std::pmr::vector<TableUpdate*> members_;  // in order of slice and entry
    std::pmr::vector<NewTable> tables_;       // in order of L1 index
    std::uint32_t unit_;                      // bytes that a write is a multiple of
    AlignedBuffer buffer_;
    std::pmr::vector<SectorRun> new_table_runs_;
    std::pmr::vector<SectorRun> entry_runs_;
    std::pmr::vector<SectorRun> l1_runs_;
    std::pmr::vector<Entry> scratch_;  // has the size of the largest update
    std::uint64_t write_count_ = 0;
    std::uint64_t write_bytes_ = 0;
};

}  // namespace qed
