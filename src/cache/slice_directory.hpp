// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "base/zeroed_array.hpp"
#include "cache/memory_budget.hpp"
#include "cache/slice_addressing.hpp"
#include "cache/slice_record.hpp"

namespace qed {

/// A slot: a block, or null if none of its slices is in memory. Each lookup starts here.
///
/// `version` gets a new value, under the budget's lock, each time that memory which a reader may be
/// reading is about to be reused or becomes invalid: after the word or the block was removed,
/// before its memory is used again. No version is used twice in a directory; 0 means that the slot
/// has no block, whatever else is read there.
struct DirectorySlot {
    std::atomic<std::uint64_t> version;
    std::atomic<DirectoryBlock*> block;
};

/// The index from guest offset to slice: an array of slots, sized for the largest legal image, that
/// never moves and takes memory only for pages in use; each slot names a block of slices.
///
/// Readers (MappingReader) follow slot, block and word without a lock. All functions that change
/// the directory are here. They keep the order that makes this correct: first the word or the block
/// is removed, then the version of the slot changes, then the memory is used again.
class SliceDirectory {
public:
    SliceDirectory(const SliceAddressing& addressing, std::uint64_t max_guest_bytes,
                   MemoryBudget& budget, EvictionClient& client) noexcept;
    ~SliceDirectory();
    SliceDirectory(const SliceDirectory&) = delete;
    SliceDirectory& operator=(const SliceDirectory&) = delete;
    /// False: the system had no address space. Call it right after construction; it needs no lock
    /// then.
    bool is_valid() const noexcept QED_NO_THREAD_SAFETY_ANALYSIS {
        return slots_.data() != nullptr && blocks_in_page_.data() != nullptr;
    }

    const SliceAddressing& addressing() const noexcept { return addressing_; }
    /// For readers, without a lock.
    const DirectorySlot* slots() const noexcept { return slots_.data(); }

    /// The block of this slice, or null.
    DirectoryBlock* find(std::uint64_t slice) const noexcept QED_REQUIRES(budget_lock) {
        return slots_[addressing_.slot_of(slice)].block.load(std::memory_order_relaxed);
    }
    /// Creates the block if it does not exist; null: no memory. Any later call may evict a block
    /// without records.
    DirectoryBlock* find_or_make(std::uint64_t slice) noexcept QED_REQUIRES(budget_lock);
    /// The first block at or after this slot, or null.
    DirectoryBlock* first_from(std::uint64_t slot) const noexcept QED_REQUIRES(budget_lock);
    /// Removes the block and its words. It has no records.
    void erase(DirectoryBlock& block) noexcept QED_REQUIRES(budget_lock);

    /// Publishes this word to readers. They notice the change before the caller may reuse the
    /// payload of the old word.
    void set_word(DirectoryBlock& block, std::uint32_t index, SliceWord word) noexcept
        QED_REQUIRES(budget_lock);
    /// Makes readers of the block look again; reads that began before are not committed.
    void invalidate(DirectoryBlock& block) noexcept QED_REQUIRES(budget_lock) {
        advance(slots_[block.slot]);
    }
    std::uint64_t version(std::uint64_t slice) const noexcept QED_REQUIRES(budget_lock) {
        return slots_[addressing_.slot_of(slice)].version.load(std::memory_order_relaxed);
    }
    /// Slices in memory.
    std::uint64_t present() const noexcept QED_REQUIRES(budget_lock) { return present_; }

private:
    DirectoryBlock* make_block(std::uint64_t slot) noexcept QED_REQUIRES(budget_lock);
    void advance(DirectorySlot& slot) noexcept QED_REQUIRES(budget_lock);

    const SliceAddressing addressing_;
    ZeroedArray<DirectorySlot> slots_;
    MemoryBudget& budget_;
    EvictionClient& client_;
    std::uint64_t slot_limit_ QED_GUARDED_BY(budget_lock) = 0;      // no block at or above it
    std::uint64_t latest_version_ QED_GUARDED_BY(budget_lock) = 0;  // of all slots
    std::uint64_t present_ QED_GUARDED_BY(budget_lock) = 0;
    ZeroedArray<std::uint16_t> blocks_in_page_ QED_GUARDED_BY(budget_lock);  // of slots_
};

}  // namespace qed
