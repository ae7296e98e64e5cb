// SPDX-License-Identifier: Apache-2.0
#include "engine/new_tables.hpp"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/endian.hpp"
#include "engine/table_space.hpp"

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

Task<Result<void>> NewTables::make_room(Table& table, TableSpace& space) {
    Result<void> done = co_await reserve(table, space);
    if (done || done.error().code() != Errc::no_space) co_return done;
    const Result<void> moved = co_await move_to_free_clusters(table);
    if (!moved) co_return done;
    co_return co_await reserve(table, space);
}

Task<Result<void>> NewTables::reserve(const Table& table, TableSpace& space) {
    const std::uint64_t end = table.offset.value + layout_.table_bytes();
    if (parts_.extender.bytes() < end) QED_CO_CHECK(co_await parts_.extender.extend_to(end));
    co_return co_await space.reserve_table(table.l1_index, table.offset);
}

// They hold old data, so the table is cleared for good before anything names it.
Task<Result<void>> NewTables::move_to_free_clusters(Table& table) {
    const Result<ClusterRun> run =
        parts_.allocator.reserve(layout_.table_clusters, Prefer::occupied);
    if (!run) co_return std::unexpected(run.error().clone());
    const std::uint64_t end = run->offset.value + layout_.table_bytes();
    Result<void> done;
    if (run->clusters != layout_.table_clusters || end > parts_.extender.bytes()) {
        done = fail(Errc::no_space, "no free clusters for a table");
    }
    if (done) done = co_await clear(run->offset);
    if (done) done = co_await parts_.flushes.flush();
    if (!done) {
        parts_.allocator.abandon(*run);
        co_return done;
    }
    parts_.allocator.abandon_unwritten(
        {.offset = table.offset, .clusters = layout_.table_clusters});
    table.offset = run->offset;
    co_return {};
}

Task<Result<void>> NewTables::clear(FileOffset at) {
    constexpr std::uint64_t kChunkBytes = 1U << 20;
    Result<AlignedBuffer> zeroes =
        AlignedBuffer::create(std::min(layout_.table_bytes(), kChunkBytes), 4096);
    if (!zeroes) co_return pass(zeroes);
    std::memset(zeroes->data(), 0, zeroes->size());
    for (std::uint64_t left = layout_.table_bytes(); left != 0; left -= zeroes->size()) {
        QED_CO_CHECK(co_await parts_.file.write(at, zeroes->span()));
        at += zeroes->size();
    }
    co_return {};
}

void NewTables::abandon(const Table& table) noexcept {
    parts_.allocator.abandon_unwritten(
        {.offset = table.offset, .clusters = layout_.table_clusters});
    tables_.erase(tables_.begin() + (&table - tables_.data()));
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
