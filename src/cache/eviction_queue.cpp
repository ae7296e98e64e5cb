// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_queue.hpp"

#include <algorithm>
#include <optional>

namespace qed {
namespace {

// Percent of the capacity.
constexpr std::uint64_t kMinSmall = 10;
constexpr std::uint64_t kStartSmall = 20;
constexpr std::uint64_t kMaxSmall = 70;
constexpr std::uint64_t kSmallGhostSpan = 130;
constexpr std::uint64_t kMainGhostSpan = 70;

// A remembered key takes 8 bytes, so each of the two tables takes 1/256 of the capacity.
constexpr std::uint64_t kBytesPerGhost = 2048;
constexpr std::uint64_t kMinGhosts = 256;
constexpr std::uint64_t kMaxGhosts = 1U << 18;

std::uint64_t percent_of(std::uint64_t bytes, std::uint64_t percent) {
    return bytes / 100 * percent + bytes % 100 * percent / 100;
}

}  // namespace

void EvictionQueue::set_capacity(std::uint64_t capacity_bytes) noexcept {
    min_small_ = percent_of(capacity_bytes, kMinSmall);
    max_small_ = percent_of(capacity_bytes, kMaxSmall);
    small_target_ = percent_of(capacity_bytes, kStartSmall);
    const auto keys = std::clamp(capacity_bytes / kBytesPerGhost, kMinGhosts, kMaxGhosts);
    small_ghosts_.reset(keys, percent_of(capacity_bytes, kSmallGhostSpan));
    main_ghosts_.reset(keys, percent_of(capacity_bytes, kMainGhostSpan));
}

EvictionQueue::List& EvictionQueue::list_of(const Evictable& entry) noexcept {
    switch (entry.queue) {
        case Evictable::Queue::small:
            return small_;
        case Evictable::Queue::main:
            return main_;
        case Evictable::Queue::pinned:
        case Evictable::Queue::none:
            break;
    }
    return pinned_;
}

void EvictionQueue::push(Evictable::Queue queue, Evictable& entry) noexcept {
    entry.queue = queue;
    List& list = list_of(entry);
    entry.newer = nullptr;
    entry.older = list.newest;
    (list.newest != nullptr ? list.newest->newer : list.oldest) = &entry;
    list.newest = &entry;
    list.bytes += entry.bytes;
    if (total_ != nullptr) *total_ += entry.bytes;
    ++list.count;
    if (queue == Evictable::Queue::small) small_ghosts_.advance(entry.bytes);
}

void EvictionQueue::unlink(List& list, Evictable& entry) noexcept {
    (entry.older != nullptr ? entry.older->newer : list.oldest) = entry.newer;
    (entry.newer != nullptr ? entry.newer->older : list.newest) = entry.older;
    list.bytes -= entry.bytes;
    if (total_ != nullptr) *total_ -= entry.bytes;
    --list.count;
}

// A longer small queue would have kept an entry that comes back soon after it left the small queue;
// a shorter one, an entry that comes back soon after it left the main queue. Neither would have
// kept an entry that comes back late: in a loop over more than the capacity all entries do, and the
// small queue would grow to the whole capacity in vain.
void EvictionQueue::insert(Evictable& entry, std::uint64_t key) noexcept {
    const std::optional<std::uint64_t> small_age = small_ghosts_.take(key);
    const bool left_main = main_ghosts_.take(key).has_value();
    // Not the size of this entry, which may be about to grow.
    const std::uint64_t step = count() == 0 ? 0 : bytes() / count();
    if (small_age && *small_age <= max_small_) {
        small_target_ = std::min(small_target_ + step, max_small_);
    } else if (left_main) {
        small_target_ -= std::min(step, small_target_ - min_small_);
    }
    push(small_age ? Evictable::Queue::main : Evictable::Queue::small, entry);
}

void EvictionQueue::remove(Evictable& entry) noexcept {
    if (entry.queue == Evictable::Queue::none) return;
    unlink(list_of(entry), entry);
    entry.queue = Evictable::Queue::none;
}

void EvictionQueue::unpin(Evictable& entry) noexcept {
    if (entry.queue != Evictable::Queue::pinned) return;
    unlink(pinned_, entry);
    push(Evictable::Queue::small, entry);
}

void EvictionQueue::resize(Evictable& entry, std::uint32_t bytes) noexcept {
    if (entry.queue != Evictable::Queue::none) {
        List& list = list_of(entry);
        list.bytes += bytes;
        list.bytes -= entry.bytes;
        if (total_ != nullptr) *total_ += std::uint64_t{bytes} - entry.bytes;
        const bool grows = bytes > entry.bytes;
        if (grows && &list == &small_) small_ghosts_.advance(bytes - entry.bytes);
    }
    entry.bytes = bytes;
}

void EvictionQueue::remember(const Evictable& entry, std::uint64_t key, bool from_small) noexcept {
    if (from_small) {
        small_ghosts_.remember(key, small_.bytes);  // which have entered since this entry did
    } else {
        main_ghosts_.remember(key, 0);
        main_ghosts_.advance(entry.bytes);
    }
}

}  // namespace qed
