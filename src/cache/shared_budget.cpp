// SPDX-License-Identifier: Apache-2.0
#include "cache/shared_budget.hpp"

#include <algorithm>

#include "base/trace.hpp"
#include "cache/table_cache.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kSmallestLimit = 64 * 1024;

// What the eviction queue asks of its entries, answered by the cache that owns each.
struct CachedEntries {
    static bool may_evict(Evictable& entry) noexcept { return TableCache::may_evict(entry); }
    static unsigned age(Evictable& entry) noexcept { return TableCache::age(entry); }
    static void reset(Evictable& entry) noexcept { TableCache::reset_uses(entry); }
    static std::uint64_t key(Evictable& entry) noexcept { return TableCache::ghost_key(entry); }
    static void evict(Evictable& entry) noexcept { TableCache::evict(entry); }
};

}  // namespace

std::shared_ptr<CacheBudget> CacheBudget::create(std::uint64_t limit_bytes) {
    return std::make_shared<SharedBudget>(limit_bytes);
}

std::shared_ptr<CacheBudget> CacheBudget::process() {
    static const std::shared_ptr<CacheBudget> budget = create(kDefaultCacheBytes);
    return budget;
}

SharedBudget::SharedBudget(std::uint64_t limit_bytes)
    : limit_(std::max(limit_bytes, kSmallestLimit)) {
    queue_.set_capacity(limit_);
}

SharedBudget::~SharedBudget() = default;

void SharedBudget::set_limit(std::uint64_t limit_bytes) {
    const std::scoped_lock lock(mutex_);
    limit_ = std::max(limit_bytes, kSmallestLimit);
    queue_.set_capacity(limit_);
    enforce_limit();
}

void SharedBudget::trim() {
    const std::scoped_lock lock(mutex_);
    CachedEntries entries;
    queue_.shrink_to(0, entries);
    arena_.trim();
}

CacheStats SharedBudget::stats() const {
    const std::scoped_lock lock(mutex_);
    CacheStats stats = closed_;
    for (const TableCache* cache = caches_; cache != nullptr; cache = cache->next_) {
        cache->add_to(stats);
    }
    stats.limit_bytes = limit_;
    stats.bytes = used();
    stats.peak_bytes = peak_bytes_;
    stats.grows = grows_;
    stats.shrinks = shrinks_;
    return stats;
}

void SharedBudget::add_cache(TableCache& cache) noexcept {
    cache.next_ = caches_;
    if (caches_ != nullptr) caches_->previous_ = &cache;
    caches_ = &cache;
}

void SharedBudget::remove_cache(TableCache& cache) noexcept {
    cache.add_to(closed_);
    (cache.previous_ != nullptr ? cache.previous_->next_ : caches_) = cache.next_;
    if (cache.next_ != nullptr) cache.next_->previous_ = cache.previous_;
}

void SharedBudget::insert(Evictable& entry, std::uint64_t key) noexcept {
    queue_.insert(entry, key);
    enforce_limit();
}

void SharedBudget::remove(Evictable& entry) noexcept {
    queue_.remove(entry);
    enforce_limit();
}

void SharedBudget::resize(Evictable& entry, std::uint32_t bytes) noexcept {
    queue_.resize(entry, bytes);
    enforce_limit();
}

void SharedBudget::charge_fixed(std::int64_t bytes) noexcept {
    fixed_bytes_ += static_cast<std::uint64_t>(bytes);
    enforce_limit();
}

void SharedBudget::enforce_limit() noexcept {
    if (used() > limit_) {
        CachedEntries entries;
        queue_.shrink_to(limit_ - std::min(limit_, fixed_bytes_), entries);
    }
    const bool is_over = used() > limit_;
    if (is_over && !over_limit_) {
        ++grows_;
        QED_TRACE(cache_grow, used(), limit_);
    } else if (!is_over && over_limit_) {
        ++shrinks_;
        QED_TRACE(cache_shrink, used(), limit_);
    }
    over_limit_ = is_over;
    peak_bytes_ = std::max(peak_bytes_, used());
}

}  // namespace qed
