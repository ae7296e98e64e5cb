// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "base/mutex.hpp"
#include "cache/eviction_client.hpp"
#include "cache/eviction_shares.hpp"
#include "cache/slice_memory.hpp"
#include "qed/cache_budget.hpp"

namespace qed {

/// The one implementation of CacheBudget: the lock, the limit and the memory that the caches of a
/// budget share. The lock is never held over I/O and never taken by a hit.
///
/// The budget knows its clients as EvictionClient only. A client calls the functions that require
/// the lock between the construction and the end of a BudgetLock.
class MemoryBudget final : public CacheBudget {
public:
    explicit MemoryBudget(std::uint64_t limit_bytes);
    ~MemoryBudget() override;

    void set_limit(std::uint64_t limit_bytes) override;
    void trim() override;
    void release_unused() override;
    CacheStats stats() const override;

    /// \param limit_bytes  of this client alone; 0: none but the budget's
    void add(EvictionClient& client, std::uint64_t limit_bytes) noexcept QED_REQUIRES(budget_lock);
    void remove(EvictionClient& client) noexcept QED_REQUIRES(budget_lock);

    /// Counts the entry from now on, and evicts others if the limit is exceeded. It may evict
    /// `entry` itself, unless the client forbids it.
    void insert(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock);
    void remove(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock);
    void resize(BudgetEntry& entry, std::uint32_t bytes) noexcept QED_REQUIRES(budget_lock);
    /// EvictionClient::may_evict() has become true for `entry`.
    void unpinned(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock);
    /// Call it after unpinned(): evicts what exceeded the limit because it was pinned.
    void shrink_back(const EvictionClient& client) noexcept QED_REQUIRES(budget_lock) {
        EvictionShare& share = *client.membership.share;
        if (is_over_limit_ || share.is_over()) enforce_limit(share);
    }
    /// Counts bytes that belong to no entry.
    void charge(std::int64_t bytes) noexcept QED_REQUIRES(budget_lock);
    /// Adds the limit and the bytes in use.
    void add_state(CacheStats& stats) const noexcept QED_REQUIRES(budget_lock);
    SliceMemory& memory() noexcept QED_REQUIRES(budget_lock) { return memory_; }

private:
    friend class BudgetLock;
    EvictionClient* client_from(std::uint64_t id) noexcept QED_REQUIRES(budget_lock);
    void enforce_limit(EvictionShare& share) noexcept QED_REQUIRES(budget_lock);
    void note_growth() noexcept QED_REQUIRES(budget_lock);

    mutable Mutex mutex_;
    SliceMemory memory_ QED_GUARDED_BY(budget_lock);
    EvictionShares shares_ QED_GUARDED_BY(budget_lock);
    std::uint64_t limit_ QED_GUARDED_BY(budget_lock);
    std::uint64_t peak_bytes_ QED_GUARDED_BY(budget_lock) = 0;
    std::uint64_t grows_ QED_GUARDED_BY(budget_lock) = 0;
    std::uint64_t shrinks_ QED_GUARDED_BY(budget_lock) = 0;
    bool is_over_limit_ QED_GUARDED_BY(budget_lock) = false;
    bool is_evicting_ QED_GUARDED_BY(budget_lock) = false;
    EvictionClient* clients_ QED_GUARDED_BY(budget_lock) = nullptr;  // the latest first
    std::uint64_t next_id_ QED_GUARDED_BY(budget_lock) = 0;
    CacheStats closed_ QED_GUARDED_BY(budget_lock);  // what clients that are gone have counted
};

/// Holds a budget's lock to the end of the block, or until unlock().
class QED_SCOPED_CAPABILITY BudgetLock {
public:
    explicit BudgetLock(const MemoryBudget& budget)
        QED_ACQUIRE(budget_lock) QED_NO_THREAD_SAFETY_ANALYSIS : mutex_(&budget.mutex_) {
        mutex_->lock();
    }
    ~BudgetLock() QED_RELEASE() QED_NO_THREAD_SAFETY_ANALYSIS {
        if (mutex_ != nullptr) mutex_->unlock();
    }
    BudgetLock(const BudgetLock&) = delete;
    BudgetLock& operator=(const BudgetLock&) = delete;
    void unlock() QED_RELEASE() QED_NO_THREAD_SAFETY_ANALYSIS {
        mutex_->unlock();
        mutex_ = nullptr;
    }

private:
    Mutex* mutex_;
};

}  // namespace qed
