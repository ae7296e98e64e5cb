// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "cache/cache_counters.hpp"
#include "cache/memory_budget.hpp"
#include "cache/slice_directory.hpp"
#include "cache/slice_encoder.hpp"
#include "cache/slice_lookup.hpp"
#include "cache/slice_record.hpp"

namespace qed {

class SliceStore;

/// A pin on a slice: while it lives the slice is not evicted, and its entries can be read and
/// updated. Move-only; unpins when destroyed.
class SliceRef {
public:
    SliceRef() = default;
    /// Takes over a pin of this record.
    SliceRef(SliceStore& store, SliceRecord& record) : store_(&store), record_(&record) {}
    SliceRef(SliceRef&& other) noexcept
        : store_(other.store_), record_(std::exchange(other.record_, nullptr)) {}
    SliceRef& operator=(SliceRef&& other) noexcept {
        std::swap(store_, other.store_);
        std::swap(record_, other.record_);
        return *this;
    }
    ~SliceRef() { reset(); }
    void reset() noexcept;
    explicit operator bool() const noexcept { return record_ != nullptr; }
    /// For the only writer of the image's tables: other threads may see a half of an update.
    Entry entry(std::uint32_t index) const noexcept;
    /// The entries starting at `first`: much cheaper than one call for each.
    void entries(std::uint32_t first, std::span<Entry> entries) const noexcept;
    /// The slice was dropped after a failed write: its content may differ from the file.
    bool is_detached() const noexcept;

    SliceRecord& record() const noexcept { return *record_; }
    /// Passes the pin to the caller, which unpins the record.
    SliceRecord& release() noexcept { return *std::exchange(record_, nullptr); }

private:
    SliceStore* store_ = nullptr;
    SliceRecord* record_ = nullptr;
};

/// The records of a cache: content, pins, and the steps of a slice from a record to a word without
/// record and back (mapping_cache.hpp lists the states). Everything works under the budget's lock;
/// functions that do not require the lock take it themselves.
class SliceStore {
public:
    SliceStore(MemoryBudget& budget, SliceDirectory& directory, CacheCounters& counters) noexcept
        : budget_(budget),
          directory_(directory),
          lookup_(directory.addressing()),
          counters_(counters) {}

    const SliceShape& shape() const noexcept { return lookup_.shape(); }

    /// Pins the slice if it is in memory.
    SliceRef try_pin(std::uint64_t slice) noexcept;
    void end_pin(SliceRecord& record) noexcept;
    bool is_detached(const SliceRecord& record) const noexcept;
    /// The mapping of [at, at + length) in the pinned slice. The pin ends.
    Found find_and_unpin(SliceRef&& pin, GuestOffset at, std::uint64_t length) noexcept;

    /// The record of a slice, created if it does not exist; null: no memory.
    SliceRecord* find_or_make(DirectoryBlock& block, std::uint32_t index) noexcept
        QED_REQUIRES(budget_lock);
    void pin(SliceRecord& record) noexcept QED_REQUIRES(budget_lock);
    void unpin(SliceRecord& record) noexcept QED_REQUIRES(budget_lock);

    void begin_load(SliceRecord& record, PendingLoad& load) noexcept QED_REQUIRES(budget_lock);
    void end_load(SliceRecord& record) noexcept QED_REQUIRES(budget_lock);
    /// Publishes this content to readers. The record is pinned, so that its own insertion does not
    /// evict it. False: no memory, and nothing was changed.
    bool store(SliceRecord& record, const EncodedSlice& encoded) noexcept QED_REQUIRES(budget_lock);
    /// Removes the slice from the directory; its pins keep the content.
    void detach(SliceRecord& record) noexcept QED_REQUIRES(budget_lock);
    /// Deletes a record without pins; the directory's word alone is correct.
    void forget(SliceRecord& record) noexcept QED_REQUIRES(budget_lock);
    /// Removes the slice, or the block and all its slices, from memory.
    void evict(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock);
    /// Frees a block with all its slices, none of which is in use.
    void erase(DirectoryBlock& block) noexcept QED_REQUIRES(budget_lock);

    std::uint64_t loading() const noexcept QED_REQUIRES(budget_lock) { return loading_; }
    void add_to(CacheStats& stats) const noexcept QED_REQUIRES(budget_lock);

private:
    void delete_record(SliceRecord& record) noexcept QED_REQUIRES(budget_lock);
    void leave_block(const SliceRecord& record) noexcept QED_REQUIRES(budget_lock);
    void free_payload(SliceWord word) noexcept QED_REQUIRES(budget_lock);

    MemoryBudget& budget_;
    SliceDirectory& directory_;
    const SliceLookup lookup_;
    CacheCounters& counters_;
    /// Of detached records: their pins may live longer than their block.
    EvictionGroup detached_ QED_GUARDED_BY(budget_lock);
    std::uint64_t pinned_ QED_GUARDED_BY(budget_lock) = 0;
    std::uint64_t loading_ QED_GUARDED_BY(budget_lock) = 0;
};

}  // namespace qed
