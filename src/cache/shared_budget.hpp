// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/counters.hpp"
#include "cache/eviction_queue.hpp"
#include "cache/slice_arena.hpp"
#include "cache/slice_directory.hpp"
#include "qed/cache_budget.hpp"

namespace qed {

class TableCache;

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

/// Caches whose entries compete with each other: all those without a limit of their own have one
/// share, each of the others has its own.
struct CacheShare {
    explicit CacheShare(std::uint64_t& total) noexcept : queue(&total) {}
    EvictionQueue queue;
    std::uint64_t limit = 0;     ///< bytes of this share alone; 0: none
    CacheShare* next = nullptr;  ///< a ring
};

/// The one implementation of CacheBudget: the lock, the memory and the eviction queues that all
/// table caches of the budget share. The lock is never held over I/O and never taken by a hit.
class SharedBudget final : public CacheBudget {
public:
    explicit SharedBudget(std::uint64_t limit_bytes);
    ~SharedBudget() override;

    void set_limit(std::uint64_t limit_bytes) override;
    void trim() override;
    void release_unused() override;
    CacheStats stats() const override;

private:
    friend class TableCache;  // its other half: works under mutex_

    // All below with mutex_ held.
    void insert(CacheShare& share, Evictable& entry, std::uint64_t key) noexcept;
    void remove(CacheShare& share, Evictable& entry) noexcept;
    void resize(CacheShare& share, Evictable& entry, std::uint32_t bytes) noexcept;
    /// Must follow each time that an entry becomes one that may be evicted.
    void let_go(CacheShare& share, Evictable& entry) noexcept { share.queue.let_go(entry); }
    /// After something was let go: what had to stay beyond the limit goes.
    void shrink_back(CacheShare& share) noexcept {
        if (is_over_limit_ || is_over(share)) enforce_limit(share);
    }
    /// Bytes beside those of entries: pages of directories, which go when their leaves have gone.
    void charge_directory(std::int64_t bytes) noexcept;
    /// Memory of what was evicted goes back to the system at once.
    void give_memory_back() noexcept;
    void add_cache(TableCache& cache) noexcept;
    void remove_cache(TableCache& cache) noexcept;
    TableCache* cache_from(std::uint64_t id) noexcept;
    void add_share(CacheShare& share, std::uint64_t limit_bytes) noexcept;
    void remove_share(CacheShare& share) noexcept;
    void set_capacities() noexcept;
    void enforce_limit(CacheShare& share) noexcept;
    void evict_to(std::uint64_t bytes) noexcept;
    void note_growth() noexcept;
    void add_state(CacheStats& stats) const noexcept;
    static bool is_over(const CacheShare& share) noexcept {
        return share.limit != 0 && share.queue.bytes() > share.limit;
    }
    std::uint64_t used() const noexcept { return entry_bytes_ + directory_bytes_; }
    SliceArena& leaves_of(unsigned leaf_bits) noexcept {
        return leaves_[leaf_bits - kMinBlockBits];
    }

    mutable std::mutex mutex_;  // guards everything below and the records of all caches
    // One arena for each kind of memory that readers may still be looking at after it was freed:
    // it must not turn into another kind.
    SliceArena payloads_;
    SliceArena records_;
    std::array<SliceArena, kMaxBlockBits - kMinBlockBits + 1> leaves_;
    std::uint64_t entry_bytes_ = 0;  // in the queues of all shares
    CacheShare common_{entry_bytes_};
    CacheShare* turn_ = &common_;     // whose queue is looked at next when all must give way
    std::uint64_t looked_bytes_ = 0;  // in this turn
    std::uint64_t limit_;
    std::uint64_t directory_bytes_ = 0;
    std::uint64_t peak_bytes_ = 0;
    std::uint64_t grows_ = 0;
    std::uint64_t shrinks_ = 0;
    bool is_over_limit_ = false;
    bool is_evicting_ = false;
    TableCache* caches_ = nullptr;  // the latest first
    std::uint64_t next_id_ = 0;
    CacheStats closed_;  // what caches that are gone have counted
};

}  // namespace qed
