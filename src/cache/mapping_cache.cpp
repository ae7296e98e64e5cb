// SPDX-License-Identifier: Apache-2.0
#include "cache/mapping_cache.hpp"

#include <bit>
#include <new>

#include "base/assert.hpp"

namespace qed {

Result<std::unique_ptr<MappingCache>> MappingCache::create(BlockFile& file, MemoryBudget& budget,
                                                           const TableShape& tables,
                                                           const EntryDecoder& decoder,
                                                           const Options& options) {
    QED_ASSERT(std::has_single_bit(tables.entries_per_table) &&
               std::has_single_bit(tables.slice_entries) &&
               tables.slice_entries * sizeof(Entry) >= kSectorBytes &&
               tables.slice_entries * sizeof(Entry) <= SliceArena::kMaxBytes);
    QED_ASSERT(tables.max_guest_bytes > 0 && tables.max_guest_bytes <= std::uint64_t{1} << 63);
    std::unique_ptr<MappingCache> cache(new (std::nothrow)
                                            MappingCache(file, budget, tables, decoder, options));
    if (cache == nullptr || !cache->level_one_.is_valid() || !cache->directory_.is_valid() ||
        !cache->writer_.is_valid()) {
        return std::unexpected(Error::out_of_memory());
    }
    return cache;
}

MappingCache::MappingCache(BlockFile& file, MemoryBudget& budget, const TableShape& tables,
                           const EntryDecoder& decoder, const Options& options)
    : budget_(budget),
      level_one_(tables),
      directory_(SliceAddressing::make(tables), tables.max_guest_bytes, budget, evictor_),
      reader_(directory_, level_one_, counters_),
      store_(budget, directory_, counters_),
      evictor_(directory_, store_, counters_),
      loader_({.file = file,
               .budget = budget,
               .level_one = level_one_,
               .directory = directory_,
               .store = store_,
               .decoder = decoder,
               .counters = counters_},
              options.readahead_slices),
      writer_(budget, level_one_, directory_, store_) {
    const BudgetLock lock(budget_);
    budget_.add(evictor_, options.limit_bytes);
}

MappingCache::~MappingCache() {
    for (std::uint64_t slot = 0;;) {
        // Releases the lock after each block, so that other images can continue.
        const BudgetLock lock(budget_);
        DirectoryBlock* block = directory_.first_from(slot);
        if (block == nullptr) break;
        slot = block->slot + 1;
        store_.erase(*block);
    }
    const BudgetLock lock(budget_);
    budget_.remove(evictor_);
}

Task<Result<Mapping>> MappingCache::load(GuestOffset at, std::uint64_t length) {
    for (;;) {
        const Mapping now = level_one_.find(at, length).mapping();
        if (now.kind != Mapping::Kind::not_loaded) co_return now;
        Result<SliceRef> slice = co_await loader_.pin(addressing().slice(at));
        if (!slice) co_return pass(slice);
        if (!*slice) continue;  // the table has just been removed
        co_return store_.find_and_unpin(std::move(*slice), at, length).mapping();
    }
}

CacheStats MappingCache::stats() const {
    const BudgetLock lock(budget_);
    CacheStats stats;
    evictor_.add_to(stats);
    budget_.add_state(stats);
    return stats;
}

}  // namespace qed
