// SPDX-License-Identifier: Apache-2.0
#include "cache/shared_budget.hpp"

#include <algorithm>

#include "base/trace.hpp"
#include "cache/table_cache.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kSmallestLimit = 64 * 1024;
// So many entries are passed over because they were used, and then the next goes all the same: a
// miss must not wait until each of a hundred thousand hot entries has been looked at three times.
constexpr unsigned kPatience = 512;

// What the eviction queue asks of its entries, answered by the cache that owns each.
struct CachedEntries {
    unsigned patience = kPatience;

    static bool may_evict(Evictable& entry) noexcept { return TableCache::may_evict(entry); }
    unsigned age(Evictable& entry) noexcept {
        if (patience == 0) return 0;
        const unsigned uses = TableCache::age(entry);
        patience -= uses != 0 ? 1 : 0;
        return uses;
    }
    static void reset(Evictable& entry) noexcept { TableCache::reset_uses(entry); }
    static std::uint64_t key(Evictable& entry) noexcept { return TableCache::ghost_key(entry); }
    void evict(Evictable& entry) noexcept {
        TableCache::evict(entry);
        patience = kPatience;
    }
};

}  // namespace

std::shared_ptr<CacheBudget> CacheBudget::create(std::uint64_t limit_bytes) {
    return std::make_shared<SharedBudget>(limit_bytes);
}

std::shared_ptr<CacheBudget> CacheBudget::process() {
    // Never destroyed: an image that is static outlives everything that was made after it.
    static const auto& budget = *new std::shared_ptr<CacheBudget>(create(kDefaultCacheBytes));
    return budget;
}

SharedBudget::SharedBudget(std::uint64_t limit_bytes)
    : limit_(std::max(limit_bytes, kSmallestLimit)) {
    common_.next = &common_;
    set_capacities();
}

SharedBudget::~SharedBudget() = default;

void SharedBudget::set_limit(std::uint64_t limit_bytes) {
    const std::scoped_lock lock(mutex_);
    limit_ = std::max(limit_bytes, kSmallestLimit);
    set_capacities();
    enforce_limit(common_);
}

void SharedBudget::trim() {
    for (bool is_more = true; is_more;) {
        // In steps, so that misses do not wait until everything is gone.
        constexpr std::uint64_t kStep = 1U << 20;
        const std::scoped_lock lock(mutex_);
        const std::uint64_t before = used();
        is_evicting_ = true;
        evict_to(before - std::min(before, kStep));
        is_evicting_ = false;
        note_growth();
        is_more = used() < before && used() != 0;
        if (!is_more) give_memory_back();
    }
}

// The lock is given back after each step; caches may come and go meanwhile.
void SharedBudget::release_unused() {
    std::uint64_t id = 0;
    std::uint64_t place = 0;
    for (;;) {
        const std::scoped_lock lock(mutex_);
        TableCache* cache = cache_from(id);
        if (cache == nullptr) return give_memory_back();
        if (cache->id_ != id) place = 0;
        place = cache->release_unused(place);
        id = place != 0 ? cache->id_ : cache->id_ + 1;
    }
}

TableCache* SharedBudget::cache_from(std::uint64_t id) noexcept {
    TableCache* first = nullptr;  // with the least id that is not less
    for (TableCache* cache = caches_; cache != nullptr && cache->id_ >= id; cache = cache->next_)
        first = cache;
    return first;
}

void SharedBudget::give_memory_back() noexcept {
    payloads_.trim();
    records_.trim();
    for (SliceArena& leaves : leaves_)
        leaves.trim();
}

CacheStats SharedBudget::stats() const {
    const std::scoped_lock lock(mutex_);
    CacheStats stats = closed_;
    for (const TableCache* cache = caches_; cache != nullptr; cache = cache->next_) {
        cache->add_to(stats);
    }
    add_state(stats);
    return stats;
}

void SharedBudget::add_state(CacheStats& stats) const noexcept {
    stats.limit_bytes = limit_;
    stats.bytes = used();
    stats.peak_bytes = peak_bytes_;
    stats.grows = grows_;
    stats.shrinks = shrinks_;
}

void SharedBudget::add_cache(TableCache& cache) noexcept {
    cache.id_ = next_id_++;
    cache.next_ = caches_;
    if (caches_ != nullptr) caches_->previous_ = &cache;
    caches_ = &cache;
}

void SharedBudget::remove_cache(TableCache& cache) noexcept {
    cache.add_to(closed_);
    (cache.previous_ != nullptr ? cache.previous_->next_ : caches_) = cache.next_;
    if (cache.next_ != nullptr) cache.next_->previous_ = cache.previous_;
}

void SharedBudget::add_share(CacheShare& share, std::uint64_t limit_bytes) noexcept {
    share.limit = std::max(limit_bytes, kSmallestLimit);
    share.queue.set_capacity(std::min(share.limit, limit_));
    share.next = common_.next;
    common_.next = &share;
}

void SharedBudget::remove_share(CacheShare& share) noexcept {
    CacheShare* before = &common_;
    while (before->next != &share)
        before = before->next;
    before->next = share.next;
    if (turn_ == &share) turn_ = share.next;
}

void SharedBudget::set_capacities() noexcept {
    common_.queue.set_capacity(limit_);
    for (CacheShare* share = common_.next; share != &common_; share = share->next)
        share->queue.set_capacity(std::min(share->limit, limit_));
}

void SharedBudget::insert(CacheShare& share, Evictable& entry, std::uint64_t key) noexcept {
    share.queue.insert(entry, key);
    enforce_limit(share);
}

void SharedBudget::remove(CacheShare& share, Evictable& entry) noexcept {
    share.queue.remove(entry);
    shrink_back(share);
}

void SharedBudget::resize(CacheShare& share, Evictable& entry, std::uint32_t bytes) noexcept {
    share.queue.resize(entry, bytes);
    enforce_limit(share);
}

void SharedBudget::charge_directory(std::int64_t bytes) noexcept {
    directory_bytes_ += static_cast<std::uint64_t>(bytes);
    enforce_limit(common_);
}

void SharedBudget::enforce_limit(CacheShare& share) noexcept {
    if (is_evicting_)
        return;  // an eviction frees more than its entry; it goes on as long as needed
    is_evicting_ = true;
    if (is_over(share)) {
        CachedEntries entries;
        share.queue.shrink_to(share.limit, entries);
    }
    if (used() > limit_) evict_to(limit_);
    is_evicting_ = false;
    note_growth();
}

// Each share gives way in proportion to what it holds: turns are longer in longer queues. What is
// in use is kept in all of them, so it is the idle ones that shrink.
void SharedBudget::evict_to(std::uint64_t bytes) noexcept {
    CachedEntries entries;
    for (unsigned idle_turns = 0; used() > bytes;) {
        if (turn_->queue.waiting() == 0 || looked_bytes_ > turn_->queue.bytes() / 16) {
            // Every use count reaches 0 within 6 rounds of 16 turns.
            if (turn_ == &common_ && ++idle_turns > 100) return;
            turn_ = turn_->next;
            looked_bytes_ = 0;
            continue;
        }
        const std::uint64_t before = used();
        looked_bytes_ += turn_->queue.look(entries);
        if (used() < before) idle_turns = 0;
    }
}

void SharedBudget::note_growth() noexcept {
    const bool is_over_now = used() > limit_;
    if (is_over_now && !is_over_limit_) {
        ++grows_;
        QED_TRACE(cache_grow, used(), limit_);
    } else if (!is_over_now && is_over_limit_) {
        ++shrinks_;
        QED_TRACE(cache_shrink, used(), limit_);
    }
    is_over_limit_ = is_over_now;
    peak_bytes_ = std::max(peak_bytes_, used());
}

}  // namespace qed
