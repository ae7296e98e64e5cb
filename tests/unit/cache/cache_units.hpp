// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "cache/memory_budget.hpp"
#include "cache/slice_directory.hpp"
#include "cache/slice_encoder.hpp"
#include "cache/slice_evictor.hpp"
#include "cache/slice_store.hpp"

namespace qed::test {

/// 2 GiB tables of 32768 entries, slices of 512, blocks of 64 slices; an image of up to 64 TiB.
inline constexpr TableShape kTestTables{.entry_span_bits = 16,
                                        .entries_per_table = 32768,
                                        .slice_entries = 512,
                                        .max_guest_bytes = std::uint64_t{1} << 46};
inline constexpr std::uint64_t kTestCluster = 65536;

/// Directory and store of a cache without the rest of it.
struct CacheUnits {
    explicit CacheUnits(std::uint64_t limit_bytes = 1U << 20) : budget(limit_bytes) {
        const BudgetLock lock(budget);
        budget.add(evictor, 0);
    }
    ~CacheUnits() {
        const BudgetLock lock(budget);
        while (DirectoryBlock* block = directory.first_from(0))
            store.erase(*block);
        budget.remove(evictor);
    }
    CacheUnits(const CacheUnits&) = delete;
    CacheUnits& operator=(const CacheUnits&) = delete;

    std::uint32_t index(std::uint64_t slice) const {
        return directory.addressing().index_in_block(slice);
    }
    SliceWord word(std::uint64_t slice) {
        const BudgetLock lock(budget);
        DirectoryBlock* block = directory.find(slice);
        return block != nullptr ? block->word(index(slice)) : SliceWord();
    }
    bool has_record(std::uint64_t slice) {
        const BudgetLock lock(budget);
        DirectoryBlock* block = directory.find(slice);
        return block != nullptr && block->record(index(slice)) != nullptr;
    }
    /// Stores the slice as a load does, and leaves it pinned.
    SliceRef put(std::uint64_t slice, std::span<const Entry> entries) {
        std::vector<std::uint64_t> words(entries.size());
        const EncodedSlice encoded = encode_slice(entries, store.shape(), words);
        const BudgetLock lock(budget);
        SliceRecord* record = store.find_or_make(*directory.find_or_make(slice), index(slice));
        store.pin(*record);
        if (!store.store(*record, encoded)) std::abort();
        return {store, *record};
    }
    /// Every entry at a place of its own: the slice needs a payload.
    static std::vector<Entry> scattered(std::uint64_t salt = 0) {
        std::vector<Entry> entries(512);
        for (std::uint64_t i = 0; i < entries.size(); ++i)
            entries[i] = ((((i + salt * 512) * 0x9e3779b97f4a7c15U) >> 40) + 1) * kTestCluster;
        return entries;
    }
    static std::vector<Entry> equal(Entry marker) { return std::vector<Entry>(512, marker); }

    MemoryBudget budget;
    CacheCounters counters;
    SliceDirectory directory{SliceAddressing::make(kTestTables), kTestTables.max_guest_bytes,
                             budget, evictor};
    SliceStore store{budget, directory, counters};
    SliceEvictor evictor{directory, store, counters};
};

}  // namespace qed::test
