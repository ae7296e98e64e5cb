// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/counters.hpp"
#include "cache/eviction_queue.hpp"
#include "cache/slice_arena.hpp"
#include "qed/cache_budget.hpp"

namespace qed {

class TableCache;
struct Leaf;
struct SliceRecord;

/// Events that the table cache counts, for an image and for its budget.
enum class CacheCounter : std::uint8_t {
    hits,
    misses,
    coalesced,
    read_bytes,
    commits,
    duplicates_dropped,
    stale_dropped,
    evictions,
    count_,
};
using CacheCounters = Counters<CacheCounter>;

/// The one implementation of CacheBudget: the lock, the memory and the eviction queue that all
/// table caches of the budget share. The lock is never held over I/O and never taken by a hit.
class SharedBudget final : public CacheBudget {
public:
    explicit SharedBudget(std::uint64_t limit_bytes);
    ~SharedBudget() override;

    void set_limit(std::uint64_t limit_bytes) override;
    void trim() override;
    CacheStats stats() const override;

private:
    friend class TableCache;  // its other half: works under mutex_

    // All below with mutex_ held.
    void insert(Evictable& entry, std::uint64_t key) noexcept;
    void remove(Evictable& entry) noexcept;
    void resize(Evictable& entry, std::uint32_t bytes) noexcept;
    void let_go(Evictable& entry) noexcept { queue_.let_go(entry); }
    /// Bytes that no eviction can free: directories of open images.
    void charge_fixed(std::int64_t bytes) noexcept;
    void add_cache(TableCache& cache) noexcept;
    void remove_cache(TableCache& cache) noexcept;
    void enforce_limit() noexcept;
    std::uint64_t used() const noexcept { return queue_.bytes() + fixed_bytes_; }

    mutable std::mutex mutex_;  // guards everything below and the records of all caches
    SliceArena arena_;
    EvictionQueue queue_;
    std::uint64_t limit_;
    std::uint64_t fixed_bytes_ = 0;
    std::uint64_t peak_bytes_ = 0;
    std::uint64_t grows_ = 0;
    std::uint64_t shrinks_ = 0;
    bool over_limit_ = false;
    TableCache* caches_ = nullptr;
    CacheStats closed_;  // what caches that are gone have counted
};

}  // namespace qed
