// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/thread_annotations.hpp"
#include "cache/eviction_queue.hpp"
#include "qed/cache_budget.hpp"

namespace qed {

class EvictionClient;

/// Represents the lock of a budget in annotations. All units of a cache work under the lock of the
/// one budget that they share. Clang's analysis cannot see that different members lead to the same
/// lock, so the annotations name this object instead.
class QED_CAPABILITY("budget lock") BudgetLockRole {};
inline constexpr BudgetLockRole budget_lock;

/// Entries that belong to the same client. One pointer leads from an entry to its client and to the
/// object that the entry is a part of.
struct EvictionGroup {
    EvictionClient* client = nullptr;
};

/// An entry whose memory a MemoryBudget limits.
struct BudgetEntry : Evictable {
    EvictionGroup* group = nullptr;
};

/// Entries that compete with each other. All clients without a limit of their own have one share;
/// each other client has its own.
struct EvictionShare {
    explicit EvictionShare(std::uint64_t& total) noexcept : queue(&total) {}
    bool is_over() const noexcept { return limit != 0 && queue.bytes() > limit; }

    EvictionQueue queue;
    std::uint64_t limit = 0;        ///< bytes of this share alone; 0: none
    EvictionShare* next = nullptr;  ///< a ring
};

/// The seam between the memory budget and the memory that it limits. A client owns entries. It
/// tells the budget when an entry is added, grows or is removed, and evicts an entry when the
/// budget calls evict().
///
/// The budget calls every function with its lock held. During a call, the client changes no entry
/// of the budget, except in evict() and release_unused().
class EvictionClient {
public:
    EvictionClient() = default;
    EvictionClient(const EvictionClient&) = delete;
    EvictionClient& operator=(const EvictionClient&) = delete;

    /// Whether no request needs the entry. The client calls MemoryBudget::unpinned() each time that
    /// this becomes true.
    virtual bool may_evict(const BudgetEntry& entry) const noexcept QED_REQUIRES(budget_lock) = 0;
    /// Returns the use count of the entry and stores one less.
    virtual unsigned age(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock) = 0;
    virtual void reset_uses(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock) = 0;
    /// A hash that is the same when the entry comes back after an eviction.
    virtual std::uint64_t ghost_key(const BudgetEntry& entry) const noexcept
        QED_REQUIRES(budget_lock) = 0;
    /// The budget no longer counts the entry: free it.
    virtual void evict(BudgetEntry& entry) noexcept QED_REQUIRES(budget_lock) = 0;
    /// Ages a number of entries, starting at a position that the client chooses (0: the first), and
    /// evicts those that no request used between the last four calls. Returns the position to
    /// continue at, or 0 after the last entry.
    virtual std::uint64_t release_unused(std::uint64_t position) noexcept
        QED_REQUIRES(budget_lock) = 0;
    /// Adds the client's content and counters.
    virtual void add_to(CacheStats& stats) const noexcept QED_REQUIRES(budget_lock) = 0;

    /// The client's place in its budget. For the budget alone.
    struct Membership {
        std::optional<EvictionShare> own;  ///< for a client with a limit
        EvictionShare* share = nullptr;    ///< `own` or the common one
        std::uint64_t id = 0;              ///< ascending in the order in which clients came
        EvictionClient* next = nullptr;
        EvictionClient* previous = nullptr;
    } membership;

protected:
    ~EvictionClient() = default;
};

}  // namespace qed
