// SPDX-License-Identifier: Apache-2.0
#include "cache/memory_budget.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/trace.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kSmallestLimit = 64 * 1024;

EvictionShare& share_of(const BudgetEntry& entry) noexcept {
    return *entry.group->client->membership.share;
}

}  // namespace

std::shared_ptr<CacheBudget> CacheBudget::create(std::uint64_t limit_bytes) {
    return std::make_shared<MemoryBudget>(limit_bytes);
}

std::shared_ptr<CacheBudget> CacheBudget::process() {
    // Never destroyed: a static image may be destroyed after all objects that were created later.
    static const auto& budget = *new std::shared_ptr<CacheBudget>(create(kDefaultCacheBytes));
    return budget;
}

MemoryBudget::MemoryBudget(std::uint64_t limit_bytes)
    : limit_(std::max(limit_bytes, kSmallestLimit)) {
    shares_.set_capacity(limit_);
}

MemoryBudget::~MemoryBudget() = default;

// --- CacheBudget --------------------------------------------------------------------------------

void MemoryBudget::set_limit(std::uint64_t limit_bytes) {
    const BudgetLock lock(*this);
    limit_ = std::max(limit_bytes, kSmallestLimit);
    shares_.set_capacity(limit_);
    enforce_limit(shares_.common());
}

void MemoryBudget::trim() {
    for (bool is_more = true; is_more;) {
        // In steps, so that misses do not wait for the whole work.
        constexpr std::uint64_t kStep = 1U << 20;
        const BudgetLock lock(*this);
        const std::uint64_t before = shares_.used();
        is_evicting_ = true;
        shares_.evict_to(before - std::min(before, kStep));
        is_evicting_ = false;
        note_growth();
        is_more = shares_.used() < before && shares_.used() != 0;
        if (!is_more) memory_.trim();
    }
}

// Releases the lock after each step, so that clients can be added and removed meanwhile.
void MemoryBudget::release_unused() {
    std::uint64_t id = 0;
    std::uint64_t position = 0;
    for (;;) {
        const BudgetLock lock(*this);
        EvictionClient* client = client_from(id);
        if (client == nullptr) return memory_.trim();
        if (client->membership.id != id) position = 0;
        position = client->release_unused(position);
        id = client->membership.id + (position != 0 ? 0 : 1);
    }
}

CacheStats MemoryBudget::stats() const {
    const BudgetLock lock(*this);
    CacheStats stats = closed_;
    for (const EvictionClient* client = clients_; client != nullptr;
         client = client->membership.next)
        client->add_to(stats);
    add_state(stats);
    return stats;
}

void MemoryBudget::add_state(CacheStats& stats) const noexcept {
    stats.limit_bytes = limit_;
    stats.bytes = shares_.used();
    stats.peak_bytes = peak_bytes_;
    stats.grows = grows_;
    stats.shrinks = shrinks_;
}

// --- For clients --------------------------------------------------------------------------------

void MemoryBudget::add(EvictionClient& client, std::uint64_t limit_bytes) noexcept {
    EvictionClient::Membership& member = client.membership;
    QED_ASSERT(member.share == nullptr);
    member.share = limit_bytes == 0 ? &shares_.common()
                                    : &shares_.add(client, std::max(limit_bytes, kSmallestLimit));
    member.id = next_id_++;
    member.next = clients_;
    if (clients_ != nullptr) clients_->membership.previous = &client;
    clients_ = &client;
}

void MemoryBudget::remove(EvictionClient& client) noexcept {
    EvictionClient::Membership& member = client.membership;
    client.add_to(closed_);
    (member.previous != nullptr ? member.previous->membership.next : clients_) = member.next;
    if (member.next != nullptr) member.next->membership.previous = member.previous;
    if (member.own) {
        QED_ASSERT(member.own->queue.count() == 0);
        shares_.remove(*member.own);
    }
    member.share = nullptr;
}

/// The client with the least id that is not below `id`, or null.
EvictionClient* MemoryBudget::client_from(std::uint64_t id) noexcept {
    EvictionClient* first = nullptr;
    for (EvictionClient* client = clients_; client != nullptr && client->membership.id >= id;
         client = client->membership.next)
        first = client;
    return first;
}

void MemoryBudget::insert(BudgetEntry& entry) noexcept {
    QED_ASSERT(entry.queue == Evictable::Queue::none && entry.bytes != 0);
    EvictionShare& share = share_of(entry);
    share.queue.insert(entry, entry.group->client->ghost_key(entry));
    enforce_limit(share);
}

void MemoryBudget::remove(BudgetEntry& entry) noexcept {
    share_of(entry).queue.remove(entry);
    shrink_back(*entry.group->client);
}

void MemoryBudget::resize(BudgetEntry& entry, std::uint32_t bytes) noexcept {
    EvictionShare& share = share_of(entry);
    share.queue.resize(entry, bytes);
    enforce_limit(share);
}

void MemoryBudget::unpinned(BudgetEntry& entry) noexcept {
    share_of(entry).queue.unpin(entry);
}

void MemoryBudget::charge(std::int64_t bytes) noexcept {
    shares_.charge(bytes);
    enforce_limit(shares_.common());
}

// --- The limit ----------------------------------------------------------------------------------

void MemoryBudget::enforce_limit(EvictionShare& share) noexcept {
    // An eviction may free more than its entry. The eviction that is in progress continues as long
    // as needed.
    if (is_evicting_) return;
    is_evicting_ = true;
    if (share.is_over()) EvictionShares::evict_to_limit(share);
    if (shares_.used() > limit_) shares_.evict_to(limit_);
    is_evicting_ = false;
    note_growth();
}

void MemoryBudget::note_growth() noexcept {
    const std::uint64_t used = shares_.used();
    const bool is_over_now = used > limit_;
    if (is_over_now && !is_over_limit_) {
        ++grows_;
        QED_TRACE(cache_grow, used, limit_);
    } else if (!is_over_now && is_over_limit_) {
        ++shrinks_;
        QED_TRACE(cache_shrink, used, limit_);
    }
    is_over_limit_ = is_over_now;
    peak_bytes_ = std::max(peak_bytes_, used);
}

}  // namespace qed
