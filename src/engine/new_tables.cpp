// SPDX-License-Identifier: Apache-2.0
#include "engine/new_tables.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/endian.hpp"

namespace qed {

NewTables::NewTables(const TableCommitter::Parts& parts, const TableLayout& layout,
                     std::uint32_t unit, std::pmr::memory_resource& memory)
    : parts_(parts), layout_(layout), tables_(&memory), l1_runs_(unit, memory) {}

Result<void> NewTables::add(std::uint64_t l1_index) {
    if (!tables_.empty() && tables_.back().l1_index == l1_index) return {};
    QED_ASSERT(tables_.empty() || tables_.back().l1_index < l1_index);
    Result<ClusterRun> run = parts_.allocator.reserve_table(layout_.table_clusters);
    if (!run) return pass(run);
    tables_.push_back({.l1_index = l1_index, .offset = run->offset});
    return {};
}

void NewTables::add_moved(std::uint64_t l1_index, FileOffset offset) {
    tables_.push_back({.l1_index = l1_index, .offset = offset, .is_linked = true});
}

std::uint64_t NewTables::end() const noexcept {
    std::uint64_t end = 0;
    for (const Table& table : tables_)
        end = std::max(end, table.offset.value + layout_.table_bytes());
    return end;
}

NewTables::Table* NewTables::find(std::uint64_t l1_index) noexcept {
    const auto is_it = [&](const Table& table) { return table.l1_index == l1_index; };
    const auto found = std::find_if(tables_.begin(), tables_.end(), is_it);
    return found == tables_.end() ? nullptr : &*found;
}

void NewTables::plan(SectorWriter& writer) {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
        const std::uint64_t index = tables_[i].l1_index;
        l1_runs_.add(layout_.l1_table.value, index, index + 1, i);
    }
    writer.place(l1_runs_);
}

Task<Result<void>> NewTables::link(SectorWriter& writer) {
    for (const SectorRun& run : l1_runs_.all())
        fill(run, writer.content(run));
    QED_CO_CHECK(co_await writer.write(l1_runs_));
    for (const SectorRun& run : l1_runs_.all()) {
        if (!run.error) continue;
        for (std::size_t i = run.first_part; i < run.end_part; ++i)
            tables_[i].is_linked = false;
        const Result<void> reloaded = co_await reload(run, writer.content(run));
        if (!reloaded) parts_.flushes.stop();
    }
    co_return {};
}

void NewTables::unlink_all() noexcept {
    for (Table& table : tables_)
        table.is_linked = false;
}

void NewTables::fill(const SectorRun& run, std::span<std::byte> raw) noexcept {
    store_l1_sectors(parts_.cache, run.first_entry(), raw);
    for (std::size_t i = run.first_part; i < run.end_part; ++i) {
        const Table& table = tables_[i];
        if (table.is_linked) {
            store_le64(raw, table.l1_index - run.first_entry(), table.offset.value);
        }
    }
}

// After a failed write the sector may hold the old or the new entries, so memory follows the file.
// If the sector names a new table, the file holds that table's content.
Task<Result<void>> NewTables::reload(const SectorRun& run, std::span<std::byte> raw) {
    QED_CO_CHECK(co_await parts_.file.read(FileOffset{run.file_offset}, raw));
    for (std::size_t i = 0; i < raw.size() / kTableEntryBytes; ++i) {
        const std::uint64_t index = run.first_entry() + i;
        const std::uint64_t named = load_le64(raw, i);
        if (named == parts_.cache.l1(index)) continue;
        const Table* table = find(index);
        if (table != nullptr && table->offset.value == named) {
            parts_.cache.set_l1(index, named);
        } else {
            parts_.flushes.stop();
        }
    }
    co_return {};
}

}  // namespace qed
