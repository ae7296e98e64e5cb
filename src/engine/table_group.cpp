// SPDX-License-Identifier: Apache-2.0
#include "engine/table_group.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/endian.hpp"
#include "base/mutants.hpp"
#include "engine/deferred_tables.hpp"
#include "engine/table_space.hpp"

namespace qed {
namespace {

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
      updates_({&leader}, &memory_),
      writer_(parts.file, table_write_unit(parts.file, parts.cache), memory_),
      tables_(parts, layout, writer_.unit(), memory_),
      new_table_runs_(writer_.unit(), memory_),
      entry_runs_(writer_.unit(), memory_),
      scratch_(&memory_) {
    while (Waiter* waiter = joined.pop())
        updates_.push_back(static_cast<TableUpdate*>(waiter));
    std::sort(updates_.begin(), updates_.end(), in_slice_order);
}

// --- Before the writes --------------------------------------------------------------------------

bool TableGroup::lacks_pin(const TableUpdate& update) const noexcept {
    return is_data_entry(parts_.cache.l1(parts_.cache.l1_index_of(update.slice))) &&
           (!update.pin || update.pin.is_detached());
}

bool TableGroup::pin_cached_slices() {
    bool has_all = true;
    for (TableUpdate* update : updates_) {
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
    for (TableUpdate* update : updates_) {
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

Result<void> TableGroup::reserve_tables() {
    for (const TableUpdate* update : updates_) {
        if (update->error || update->pin) continue;
        QED_CHECK(tables_.add(parts_.cache.l1_index_of(update->slice)));
    }
    return {};
}

bool TableGroup::lacks_space(const TableSpace& space, bool defers) const noexcept {
    if (!tables_.empty()) return true;
    return defers && std::any_of(updates_.begin(), updates_.end(), [&](const auto* update) {
               return update->pin && space.may_lack(update->slice);
           });
}

Task<Result<void>> TableGroup::reserve_space(TableSpace& space, bool defers) {
    for (std::size_t i = tables_.all().size(); i-- > 0;) {
        NewTables::Table& table = tables_.all()[i];
        const Result<void> done = co_await tables_.make_room(table, space);
        if (done) continue;
        fail_updates_of_table(table.l1_index, done.error());
        tables_.abandon(table);
    }
    if (defers) co_return co_await reserve_slices(space);
    co_return {};
}

// The entries are written when the requests have been answered.
Task<Result<void>> TableGroup::reserve_slices(TableSpace& space) {
    for (TableUpdate* update : updates_) {
        if (update->error || !update->pin || !space.may_lack(update->slice)) continue;
        Result<void> done = co_await space.reserve_slice(update->slice);
        if (!done) update->error.emplace(std::move(done.error()));
    }
    co_return {};
}

NewTables::Table* TableGroup::new_table_of(const TableUpdate& update) noexcept {
    if (update.pin) return nullptr;
    return tables_.find(parts_.cache.l1_index_of(update.slice));
}

bool TableGroup::needs_dirty() const noexcept {
    if (strict_) return false;
    return !tables_.empty() || std::any_of(updates_.begin(), updates_.end(), [](const auto* u) {
        return is_data_entry(u->base) && !u->after_flush;
    });
}

bool TableGroup::needs_flush() const noexcept {
    return (strict_ && !tables_.empty()) ||
           std::any_of(updates_.begin(), updates_.end(),
                       [](const auto* u) { return u->after_flush && !u->error; });
}

Result<void> TableGroup::plan() {
    for (std::size_t i = 0; i < updates_.size(); ++i)
        plan_update(i);
    writer_.place(new_table_runs_);
    writer_.place(entry_runs_);
    tables_.plan(writer_);
    reserve_scratch();
    QED_CHECK(writer_.allocate());
    for (SectorRun& run : new_table_runs_.all())
        fill(run);
    for (SectorRun& run : entry_runs_.all())
        fill(run);
    return {};
}

void TableGroup::plan_update(std::size_t index) {
    const TableUpdate& update = *updates_[index];
    if (update.error) return;
    const NewTables::Table* fresh = new_table_of(update);
    const std::uint64_t table = fresh != nullptr
                                    ? fresh->offset.value
                                    : parts_.cache.l1(parts_.cache.l1_index_of(update.slice));
    const std::uint64_t slice_at =
        table + parts_.cache.slice_in_table(update.slice) * parts_.cache.slice_bytes();
    SectorRuns& runs = fresh != nullptr ? new_table_runs_ : entry_runs_;
    runs.add(slice_at, update.first, update.end(), index);
}

// After entries are in the file, no step may need memory.
void TableGroup::reserve_scratch() {
    std::uint32_t most = 0;
    for (const TableUpdate* update : updates_)
        most = std::max(most, update->count);
    scratch_.reserve(most);
}

void TableGroup::fill(SectorRun& run) {
    const auto raw = writer_.content(run);
    const std::uint32_t first = run.first_entry();
    if (!store_slice_sectors(updates_[run.first_part]->pin, first, raw)) {
        run.error.emplace(Errc::corrupt_metadata,
                          fmt::format("the L2 table sector at {:#x} holds a bad entry, so it "
                                      "cannot be written: check and repair the image",
                                      run.file_offset));
        return fail_updates_of(run);
    }
    for (std::size_t part = run.first_part; part < run.end_part; ++part) {
        const TableUpdate& update = *updates_[part];
        for (std::uint32_t i = update.first; i < update.end(); ++i)
            store_le64(raw, i - first, update.value(i, layout_.cluster.bytes()));
    }
}

// --- The writes ---------------------------------------------------------------------------------

Task<Result<void>> TableGroup::write_new_tables() {
    QED_CO_CHECK(co_await writer_.write(new_table_runs_));
    if (writer_.has_failed()) fail_updates_of_failed(new_table_runs_);
    for (NewTables::Table& table : tables_.all()) {
        // A table that could not be written completely is not linked: its clusters leak.
        table.is_linked = std::none_of(updates_.begin(), updates_.end(), [&](const auto* update) {
            return update->error && !update->pin &&
                   parts_.cache.l1_index_of(update->slice) == table.l1_index;
        });
    }
    if (detail::mutant(detail::Mutant::l1_before_l2)) co_return co_await write_entries();
    co_return {};
}

// Not a coroutine of its own: most groups have only entries to write.
Task<Result<void>> TableGroup::write_entries() {
    if (tables_.empty()) return writer_.write(entry_runs_);
    return write_entries_and_links();
}

Task<Result<void>> TableGroup::write_entries_and_links() {
    if (!entry_runs_.empty()) QED_CO_CHECK(co_await writer_.write(entry_runs_));
    // Now entries are in the file: a later failure fails the new tables alone.
    const Result<void> linked = co_await tables_.link(writer_);
    if (!linked) fail_new_tables(linked.error());
    co_return {};
}

void TableGroup::fail_updates_of_failed(SectorRuns& runs) noexcept {
    for (const SectorRun& run : runs.all()) {
        if (run.error) fail_updates_of(run);
    }
}

void TableGroup::fail_updates_of(const SectorRun& run) noexcept {
    for (std::size_t part = run.first_part; part < run.end_part; ++part) {
        TableUpdate& update = *updates_[part];
        if (!update.error) update.error.emplace(run.error->clone());
    }
}

void TableGroup::fail_new_tables(const Error& error) {
    tables_.unlink_all();
    for (TableUpdate* update : updates_) {
        if (new_table_of(*update) != nullptr && !update->error)
            update->error.emplace(error.clone());
    }
}

void TableGroup::fail_updates_of_table(std::uint64_t l1_index, const Error& error) {
    for (TableUpdate* update : updates_) {
        const bool needs_it = !update->pin && parts_.cache.l1_index_of(update->slice) == l1_index;
        if (needs_it && !update->error) update->error.emplace(error.clone());
    }
}

// --- After the writes ---------------------------------------------------------------------------

void TableGroup::free_replaced(const TableUpdate& update) noexcept {
    if (!update.pin) return;
    for (std::uint32_t i = update.first; i < update.end(); ++i) {
        const Entry old = update.pin.entry(i);
        if (is_data_entry(old)) parts_.allocator.release(FileOffset{old}, 1);
    }
}

bool TableGroup::show(TableUpdate& update) noexcept {
    scratch_.clear();
    for (std::uint32_t i = update.first; i < update.end(); ++i)
        scratch_.push_back(update.value(i, layout_.cluster.bytes()));
    return parts_.cache.publish(update.pin, update.first, scratch_);
}

void TableGroup::publish_update(TableUpdate& update) noexcept {
    free_replaced(update);
    if (!update.pin) update.pin = parts_.cache.try_pin(update.slice);
    if (!update.pin) return;  // not in memory: readers find it in the file
    if (!show(update)) parts_.cache.drop(update.slice);
}

void TableGroup::publish() noexcept {
    for (const SectorRun& run : entry_runs_.all()) {
        QED_ASSERT(run.is_written || run.error ||
                   detail::mutant(detail::Mutant::publish_before_write));
    }
    if (writer_.has_failed()) fail_updates_of_failed(entry_runs_);
    for (TableUpdate* update : updates_) {
        const NewTables::Table* table = new_table_of(*update);
        if (table == nullptr) continue;
        if (table->is_linked) {
            parts_.cache.install_table(update->slice, table->offset.value);
        } else if (!update->error) {
            update->error.emplace(Error::from_errno(EIO, {}).with_context(kUnlinked));
        }
    }
    for (TableUpdate* update : updates_) {
        if (!update->error || detail::mutant(detail::Mutant::keep_table_after_failed_write)) {
            publish_update(*update);
        }
    }
    for (const SectorRun& run : entry_runs_.all()) {
        if (run.error && !detail::mutant(detail::Mutant::keep_table_after_failed_write)) {
            parts_.cache.drop(updates_[run.first_part]->slice);
        }
    }
}

void TableGroup::defer(DeferredTables& deferred) {
    reserve_scratch();
    deferred.reserve_tables(tables_.all().size());
    for (TableUpdate* update : updates_) {
        const NewTables::Table* table = new_table_of(*update);
        if (table == nullptr || update->error) continue;
        parts_.cache.install_table(update->slice, table->offset.value);
        deferred.add_table(table->l1_index, table->offset);
    }
    std::pmr::vector<Entry> memory_for_replaced(scratch_.capacity(), &memory_);
    for (TableUpdate* update : updates_) {
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

}  // namespace qed
