// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_shares.hpp"

#include <algorithm>

namespace qed {
namespace {

// After this many entries that were used, the next one is evicted although it was used: a miss must
// not wait until the queue has examined each of a hundred thousand hot entries three times.
constexpr unsigned kPatience = 512;

// The questions of the eviction queue about its entries, answered by the client of each entry. The
// caller holds the budget's lock, which the analysis cannot follow through the queue.
class EntriesOfClients {
public:
    static bool may_evict(Evictable& entry) noexcept QED_NO_THREAD_SAFETY_ANALYSIS {
        return client(entry).may_evict(own(entry));
    }
    unsigned age(Evictable& entry) noexcept QED_NO_THREAD_SAFETY_ANALYSIS {
        if (patience_ == 0) return 0;
        const unsigned uses = client(entry).age(own(entry));
        patience_ -= uses != 0 ? 1 : 0;
        return uses;
    }
    static void reset(Evictable& entry) noexcept QED_NO_THREAD_SAFETY_ANALYSIS {
        client(entry).reset_uses(own(entry));
    }
    static std::uint64_t key(Evictable& entry) noexcept QED_NO_THREAD_SAFETY_ANALYSIS {
        return client(entry).ghost_key(own(entry));
    }
    void evict(Evictable& entry) noexcept QED_NO_THREAD_SAFETY_ANALYSIS {
        client(entry).evict(own(entry));
        patience_ = kPatience;
    }

private:
    static BudgetEntry& own(Evictable& entry) noexcept { return static_cast<BudgetEntry&>(entry); }
    static EvictionClient& client(Evictable& entry) noexcept { return *own(entry).group->client; }

    unsigned patience_ = kPatience;
};

}  // namespace

EvictionShare& EvictionShares::add(EvictionClient& client, std::uint64_t limit_bytes) noexcept {
    EvictionShare& share = client.membership.own.emplace(used_);
    share.limit = limit_bytes;
    share.queue.set_capacity(std::min(limit_bytes, capacity_));
    share.next = common_.next;
    common_.next = &share;
    return share;
}

void EvictionShares::remove(EvictionShare& share) noexcept {
    EvictionShare* before = &common_;
    while (before->next != &share)
        before = before->next;
    before->next = share.next;
    if (turn_ == &share) turn_ = share.next;
}

void EvictionShares::set_capacity(std::uint64_t bytes) noexcept {
    capacity_ = bytes;
    common_.queue.set_capacity(bytes);
    for (EvictionShare* share = common_.next; share != &common_; share = share->next)
        share->queue.set_capacity(std::min(share->limit, bytes));
}

void EvictionShares::evict_to_limit(EvictionShare& share) noexcept {
    EntriesOfClients entries;
    share.queue.shrink_to(share.limit, entries);
}

// Each share evicts in proportion to its size: turns are longer in longer queues. All of them keep
// entries in use, so the idle shares shrink.
void EvictionShares::evict_to(std::uint64_t bytes) noexcept {
    EntriesOfClients entries;
    for (unsigned idle_turns = 0; used_ > bytes;) {
        if (turn_->queue.waiting() == 0 || turn_bytes_ > turn_->queue.bytes() / 16) {
            // Every use count reaches 0 within 6 rounds of 16 turns.
            if (turn_ == &common_ && ++idle_turns > 100) return;
            turn_ = turn_->next;
            turn_bytes_ = 0;
            continue;
        }
        const std::uint64_t before = used_;
        turn_bytes_ += turn_->queue.evict_one(entries);
        if (used_ < before) idle_turns = 0;
    }
}

}  // namespace qed
