// SPDX-License-Identifier: Apache-2.0
#include "engine/table_group.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/endian.hpp"
#include "base/math.hpp"
#include "base/mutants.hpp"
#include "engine/deferred_tables.hpp"

namespace qed {
namespace {

constexpr std::uint32_t kEntryBytes = sizeof(Entry);
constexpr const char* kUnlinked = "a new L2 table could not be written and linked";

bool in_slice_order(const TableUpdate* a, const TableUpdate* b) {
    return a->slice != b->slice ? a->slice < b->slice : a->first < b->first;
}

}  // namespace

TableGroup::TableGroup(const TableCommitter::Parts& parts, const TableLayout& layout, bool strict,
                       TableUpdate& leader, WaiterQueue joined)
    : parts_(parts),
      layout_(layout),
      strict_(strict),
      memory_(first_memory_.data(), first_memory_.size()),
      members_({&leader}, &memory_),
      tables_(&memory_),
      unit_(std::clamp<std::uint32_t>(parts.file.alignment().offset, kSectorBytes,
                                      parts.cache.slice_bytes())),
      new_table_runs_(&memory_),
      entry_runs_(&memory_),
      l1_runs_(&memory_),
      scratch_(&memory_) {
    while (Waiter* waiter = joined.pop())
        members_.push_back(static_cast<TableUpdate*>(waiter));
    std::sort(members_.begin(), members_.end(), in_slice_order);
}

bool TableGroup::lacks_pin(const TableUpdate& update) const noexcept {
    return is_data_entry(parts_.cache.l1(parts_.cache.l1_index_of(update.slice))) &&
           (!update.pin || update.pin.is_detached());
}

bool TableGroup::pin_cached_slices() {
    bool has_all = true;
    for (TableUpdate* update : members_) {
        const std::uint64_t l1_index = parts_.cache.l1_index_of(update->slice);
        if (parts_.cache.l1(l1_index) == kBadEntry) {
            update->error.emplace(Errc::corrupt_metadata,
                                  fmt::format("L1 entry {} is bad: check the image", l1_index));
        } else if (lacks_pin(*update)) {
            update->pin = parts_.cache.try_pin(update->slice);
            has_all = has_all && update->pin;
        }
    }
    return has_all;
}

Task<Result<void>> TableGroup::pin_slices() {
    for (TableUpdate* update : members_) {
        if (!lacks_pin(*update)) continue;
        Result<SliceRef> loaded = co_await parts_.cache.pin(update->slice);
        if (loaded) {
            update->pin = std::move(*loaded);
        } else {
            update->error.emplace(std::move(loaded.error()));
        }
    }
    co_return {};
}

Result<std::uint64_t> TableGroup::reserve_tables() {
    std::uint64_t end = 0;
    for (const TableUpdate* update : members_) {
        if (update->error || update->pin) continue;
        const std::uint64_t l1_index = parts_.cache.l1_index_of(update->slice);
        if (!tables_.empty() && tables_.back().l1_index == l1_index) continue;
        auto run = parts_.allocator.reserve_fresh(layout_.table_clusters);
        if (!run) return pass(run);
        tables_.push_back({.l1_index = l1_index, .offset = run->offset});
        end = run->offset.value + layout_.table_bytes();
    }
    return end;
}

TableGroup::NewTable* TableGroup::new_table_of(const TableUpdate& update) noexcept {
    if (update.pin) return nullptr;
    const std::uint64_t l1_index = parts_.cache.l1_index_of(update.slice);
    for (NewTable& table : tables_) {
        if (table.l1_index == l1_index) return &table;
    }
    return nullptr;
}

bool TableGroup::needs_dirty() const noexcept {
    if (strict_) return false;
    return !tables_.empty() || std::any_of(members_.begin(), members_.end(), [](const auto* u) {
        return is_data_entry(u->base) && !u->after_flush;
    });
}

bool TableGroup::needs_flush() const noexcept {
    return (strict_ && !tables_.empty()) ||
           std::any_of(members_.begin(), members_.end(),
                       [](const auto* u) { return u->after_flush && !u->error; });
}

void TableGroup::gather_runs() {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const TableUpdate& update = *members_[i];
        if (update.error) continue;
        const NewTable* fresh = new_table_of(update);
        const std::uint64_t table = fresh != nullptr
                                        ? fresh->offset.value
                                        : parts_.cache.l1(parts_.cache.l1_index_of(update.slice));
        const std::uint64_t slice_at =
            table + parts_.cache.slice_in_table(update.slice) * parts_.cache.slice_bytes();
        const auto begin =
            static_cast<std::uint32_t>(round_down(update.first * kEntryBytes, unit_));
        const auto end = static_cast<std::uint32_t>(round_up(update.end() * kEntryBytes, unit_));
        std::pmr::vector<SectorRun>& runs = fresh != nullptr ? new_table_runs_ : entry_runs_;
        if (!runs.empty() && runs.back().slice == update.slice && begin <= runs.back().end &&
            runs.back().end_member == i) {
            runs.back().end = std::max(runs.back().end, end);
            runs.back().end_member = i + 1;
        } else {
            runs.push_back({.slice = update.slice,
                            .file_offset = slice_at + begin,
                            .begin = begin,
                            .end = end,
                            .first_member = i,
                            .end_member = i + 1});
        }
    }
}

void TableGroup::gather_l1_runs() {
    const std::uint64_t l1_at = layout_.l1_table.value;
    for (const NewTable& table : tables_) {
        const std::uint64_t begin = round_down(table.l1_index * kEntryBytes, unit_);
        if (!l1_runs_.empty() && begin < l1_runs_.back().end) continue;
        if (!l1_runs_.empty() && begin == l1_runs_.back().end) {
            l1_runs_.back().end += unit_;
        } else {
            l1_runs_.push_back({.file_offset = l1_at + begin,
                                .begin = static_cast<std::uint32_t>(begin),
                                .end = static_cast<std::uint32_t>(begin + unit_)});
        }
    }
}

Result<void> TableGroup::plan() {
    gather_runs();
    gather_l1_runs();
    std::size_t bytes = 0;
    for (auto* runs : {&new_table_runs_, &entry_runs_, &l1_runs_}) {
        for (SectorRun& run : *runs) {
            run.buffer_offset = bytes;
            bytes += run.end - run.begin;
        }
    }
    reserve_scratch();
    Result<AlignedBuffer> buffer =
        AlignedBuffer::create(std::max<std::size_t>(bytes, 1), parts_.file.alignment().memory);
    if (!buffer) return pass(buffer);
    buffer_ = std::move(*buffer);
    for (SectorRun& run : new_table_runs_)
        fill_run(run);
    for (SectorRun& run : entry_runs_)
        fill_run(run);
    return {};
}

// After entries are in the file, no step may need memory.
void TableGroup::reserve_scratch() {
    std::uint32_t most = 0;
    for (const TableUpdate* update : members_)
        most = std::max(most, update->count);
    scratch_.reserve(most);
}

void TableGroup::fill_run(SectorRun& run) {
    const auto raw = buffer_.span().subspan(run.buffer_offset, run.end - run.begin);
    const std::uint32_t first = run.begin / kEntryBytes;
    const SliceRef& pin = members_[run.first_member]->pin;
    std::array<Entry, kSectorBytes / kEntryBytes> sector;
    sector.fill(kUnallocatedEntry);
    for (std::uint32_t done = 0; done < raw.size() / kEntryBytes; done += sector.size()) {
        if (pin) pin.entries(first + done, sector);
        if (std::find(sector.begin(), sector.end(), kBadEntry) != sector.end())
            return refuse_bad_entry(run);
        store_le64(raw, done, sector);
    }
    for (const TableUpdate* update : run.members(members_)) {
        for (std::uint32_t i = update->first; i < update->end(); ++i) {
            store_le64(raw, i - first, update->value(i, layout_.cluster.bytes()));
        }
    }
}

void TableGroup::refuse_bad_entry(SectorRun& run) {
    // The raw value of this entry is not kept, and a guess must not overwrite it.
    fail_run(run, Error(Errc::corrupt_metadata,
                        fmt::format("the L2 table sector at {:#x} holds a bad entry, so it cannot "
                                    "be written: check and repair the image",
                                    run.file_offset)));
}

void TableGroup::fill_l1_run(const SectorRun& run) {
    const auto raw = buffer_.span().subspan(run.buffer_offset, run.end - run.begin);
    const std::uint64_t first = run.begin / kEntryBytes;
    for (std::size_t i = 0; i < raw.size() / kEntryBytes; ++i) {
        store_le64(raw, i, parts_.cache.l1(first + i));
    }
    for (const NewTable& table : tables_) {
        const std::uint64_t at = table.l1_index - first;
        if (table.linked && table.l1_index >= first && at < raw.size() / kEntryBytes) {
            store_le64(raw, at, table.offset.value);
        }
    }
}

void TableGroup::fail_run(SectorRun& run, const Error& error) {
    run.failed = true;
    for (TableUpdate* update : run.members(members_)) {
        if (!update->error) update->error.emplace(error.clone());
    }
}

Task<Result<void>> TableGroup::write_runs(std::span<SectorRun> runs) {
    std::pmr::vector<IoOp> ops(&memory_);
    std::pmr::vector<SectorRun*> written(&memory_);
    ops.reserve(runs.size());
    written.reserve(runs.size());
    for (SectorRun& run : runs) {
        if (run.failed) continue;
        const auto raw = buffer_.span().subspan(run.buffer_offset, run.end - run.begin);
        QED_ASSERT(run.file_offset % unit_ == 0 && !raw.empty() && raw.size() % unit_ == 0);
        ops.push_back(parts_.file.write(FileOffset{run.file_offset}, raw));
        written.push_back(&run);
        write_bytes_ += raw.size();
    }
    write_count_ += ops.size();
    IoBatch batch;
    batch.ops = ops.data();
    batch.count = ops.size();
    static_cast<void>(co_await batch);
    for (std::size_t i = 0; i < ops.size(); ++i) {
        Result<void> done = ops[i].outcome();
        written[i]->is_written = done.has_value();
        if (done) continue;
        fail_run(*written[i], std::move(done.error()).with_context("writing the image's tables"));
    }
    co_return {};
}

Task<Result<void>> TableGroup::write_new_tables() {
    QED_CO_CHECK(co_await write_runs(new_table_runs_));
    for (NewTable& table : tables_) {
        // A table that could not be written completely is not linked: its clusters leak.
        table.linked = std::none_of(members_.begin(), members_.end(), [&](const auto* update) {
            return update->error && !update->pin &&
                   parts_.cache.l1_index_of(update->slice) == table.l1_index;
        });
    }
    if (detail::mutant(detail::Mutant::l1_before_l2)) co_return co_await write_entries();
    co_return {};
}

// Not a coroutine of its own: most groups have only entries to write.
Task<Result<void>> TableGroup::write_entries() {
    if (l1_runs_.empty()) return write_runs(entry_runs_);
    return write_entries_and_links();
}

Task<Result<void>> TableGroup::write_entries_and_links() {
    for (const SectorRun& run : l1_runs_)
        fill_l1_run(run);
    if (!entry_runs_.empty()) QED_CO_CHECK(co_await write_runs(entry_runs_));
    // Now entries are in the file: a later failure fails the new tables alone.
    const Result<void> started = co_await write_runs(l1_runs_);
    if (!started) fail_new_tables(started.error());
    for (const SectorRun& run : l1_runs_) {
        if (!run.failed) continue;
        unlink_tables(run);
        const Result<void> reloaded = co_await reload_l1(run);
        if (!reloaded) parts_.flushes.stop();
    }
    co_return {};
}

void TableGroup::fail_new_tables(const Error& error) noexcept {
    for (NewTable& table : tables_)
        table.linked = false;
    for (TableUpdate* update : members_) {
        if (new_table_of(*update) != nullptr && !update->error) {
            update->error.emplace(error.clone());
        }
    }
}

// After a failed write the sector may hold the old or the new entries, so memory follows the file.
// If the sector names a new table, the file holds that table's content.
Task<Result<void>> TableGroup::reload_l1(const SectorRun& run) {
    const auto raw = buffer_.span().subspan(run.buffer_offset, run.end - run.begin);
    QED_CO_CHECK(co_await parts_.file.read(FileOffset{run.file_offset}, raw));
    for (std::size_t i = 0; i < raw.size() / kEntryBytes; ++i) {
        const std::uint64_t index = run.begin / kEntryBytes + i;
        const std::uint64_t table = load_le64(raw, i);
        if (table == parts_.cache.l1(index)) continue;
        const bool is_ours = std::any_of(tables_.begin(), tables_.end(), [&](const NewTable& ours) {
            return ours.l1_index == index && ours.offset.value == table;
        });
        if (is_ours) {
            parts_.cache.set_l1(index, table);
        } else {
            parts_.flushes.stop();
        }
    }
    co_return {};
}

void TableGroup::unlink_tables(const SectorRun& l1_run) {
    for (NewTable& table : tables_) {
        const std::uint64_t at = table.l1_index * kEntryBytes;
        if (at >= l1_run.begin && at < l1_run.end) table.linked = false;
    }
}

void TableGroup::free_replaced(const TableUpdate& update) noexcept {
    if (!update.pin) return;
    for (std::uint32_t i = update.first; i < update.end(); ++i) {
        const Entry old = update.pin.entry(i);
        if (is_data_entry(old)) parts_.allocator.unlinked(FileOffset{old}, 1);
    }
}

bool TableGroup::show(TableUpdate& update) noexcept {
    scratch_.clear();
    for (std::uint32_t i = update.first; i < update.end(); ++i) {
        scratch_.push_back(update.value(i, layout_.cluster.bytes()));
    }
    return parts_.cache.publish(update.pin, update.first, scratch_);
}

void TableGroup::publish_update(TableUpdate& update) noexcept {
    free_replaced(update);
    if (!update.pin) update.pin = parts_.cache.try_pin(update.slice);
    if (!update.pin) return;  // not in memory: readers find it in the file
    if (!show(update)) parts_.cache.drop(update.slice);
}

void TableGroup::defer(DeferredTables& deferred) {
    reserve_scratch();
    deferred.reserve_tables(tables_.size());
    for (TableUpdate* update : members_) {
        const NewTable* table = new_table_of(*update);
        if (table == nullptr || update->error) continue;
        parts_.cache.install_table(update->slice, table->offset.value);
        deferred.add_table(table->l1_index, table->offset);
    }
    std::pmr::vector<Entry> memory_for_replaced(scratch_.capacity(), &memory_);
    for (TableUpdate* update : members_) {
        if (update->error) continue;
        if (!update->pin) update->pin = parts_.cache.try_pin(update->slice);
        const Result<void> kept =
            update->pin ? deferred.add(*update) : std::unexpected(Error::out_of_memory());
        if (!kept) {
            update->error.emplace(kept.error().clone());
            continue;
        }
        const auto replaced = std::span(memory_for_replaced).first(update->count);
        update->pin.entries(update->first, replaced);
        if (show(*update)) {
            deferred.free_replaced(replaced);
        } else {
            update->error.emplace(Error::out_of_memory());
        }
    }
}

void TableGroup::publish() noexcept {
    for (const SectorRun& run : entry_runs_) {
        QED_ASSERT(run.is_written || run.failed ||
                   detail::mutant(detail::Mutant::publish_before_write));
    }
    for (TableUpdate* update : members_) {
        const NewTable* table = new_table_of(*update);
        if (table == nullptr) continue;
        if (table->linked) {
            parts_.cache.install_table(update->slice, table->offset.value);
        } else if (!update->error) {
            update->error.emplace(Error::from_errno(EIO, {}).with_context(kUnlinked));
        }
    }
    for (TableUpdate* update : members_) {
        if (!update->error || detail::mutant(detail::Mutant::keep_table_after_failed_write)) {
            publish_update(*update);
        }
    }
    for (const SectorRun& run : entry_runs_) {
        if (run.failed && !detail::mutant(detail::Mutant::keep_table_after_failed_write)) {
            parts_.cache.drop(run.slice);
        }
    }
}

}  // namespace qed
