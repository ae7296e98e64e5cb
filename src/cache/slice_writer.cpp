// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_writer.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace qed {

SliceWriter::SliceWriter(MemoryBudget& budget, LevelOne& level_one, SliceDirectory& directory,
                         SliceStore& store) noexcept
    : budget_(budget),
      level_one_(level_one),
      directory_(directory),
      store_(store),
      updater_(SliceUpdater::create(store.shape())) {}

bool SliceWriter::publish(const SliceRef& pin, std::uint32_t first,
                          std::span<const Entry> entries) noexcept {
    const SliceShape& shape = store_.shape();
    QED_ASSERT(first < shape.entries() && entries.size() <= shape.entries() - first);
    SliceRecord& record = pin.record();
    // The content belongs to this caller: it is the only writer, and its pin keeps the slice. So
    // the long part of the work is done before the lock is taken.
    if (may_update_in_place(record.word, entries, shape)) {
        const BudgetLock lock(budget_);
        QED_ASSERT(record.pins != 0 && !record.is_loading);
        if (record.is_detached) return true;  // the next reader reads the file
        directory_.invalidate(record.block());
        update_in_place(record.word, first, entries, shape);
        return true;
    }
    const EncodedSlice encoded = updater_->update(record.word, first, entries);
    const BudgetLock lock(budget_);
    return record.is_detached || store_.store(record, encoded);
}

void SliceWriter::drop(std::uint64_t slice) noexcept {
    const BudgetLock lock(budget_);
    if (DirectoryBlock* block = directory_.find(slice))
        drop_slice(*block, directory_.addressing().index_in_block(slice));
}

void SliceWriter::drop_slice(DirectoryBlock& block, std::uint32_t index) noexcept {
    directory_.invalidate(block);  // reads ahead in progress must not be committed
    SliceRecord* record = block.record(index);
    if (record != nullptr && record->is_loading) {
        record->load->overtaken = true;
    } else if (record != nullptr) {
        store_.detach(*record);
    } else {
        directory_.set_word(block, index, SliceWord());
    }
}

void SliceWriter::set_l1(std::uint64_t index, Entry table) noexcept {
    const Entry old = level_one_.replace(index, table);
    if (old != table && is_data_entry(old)) drop_table(index);
}

// Releases the lock after each block, so that other images can continue.
void SliceWriter::drop_table(std::uint64_t index) noexcept {
    const SliceAddressing& addressing = directory_.addressing();
    const std::uint64_t first = addressing.first_slice_of_table(index);
    const std::uint64_t end = addressing.first_slice_of_table(index + 1);
    for (std::uint64_t slot = addressing.slot_of(first);; ++slot) {
        const BudgetLock lock(budget_);
        const DirectoryBlock* next = directory_.first_from(slot);
        if (next == nullptr) return;
        slot = next->slot;
        const std::uint64_t begin_here = std::max(first, addressing.slice_at(slot, 0));
        const std::uint64_t end_here = std::min(end, addressing.slice_at(slot + 1, 0));
        if (begin_here >= end) return;
        for (std::uint64_t slice = begin_here; slice < end_here; ++slice) {
            // The block may be removed with its last slice.
            if (DirectoryBlock* block = directory_.find(slice))
                drop_slice(*block, addressing.index_in_block(slice));
        }
    }
}

void SliceWriter::install_table(std::uint64_t slice, Entry table) noexcept {
    const SliceAddressing& addressing = directory_.addressing();
    {
        const BudgetLock lock(budget_);
        if (DirectoryBlock* block = directory_.find_or_make(slice)) {
            directory_.invalidate(*block);
            // The slices of this table that lie in the same block.
            const std::uint64_t count =
                std::min<std::uint64_t>(addressing.slices_in_block(), addressing.slices_in_table());
            const std::uint64_t first = slice & ~(count - 1);
            for (std::uint64_t i = first; i < first + count; ++i)
                directory_.set_word(*block, addressing.index_in_block(i),
                                    SliceWord::make(Form::uniform, kUnallocatedEntry));
        }
    }
    set_l1(addressing.table_of(slice), table);
}

}  // namespace qed
