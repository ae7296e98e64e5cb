// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction_queue.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace qed {

void EvictionQueue::set_capacity(std::uint64_t capacity_bytes) {
    small_target_ = capacity_bytes / 5;
    const std::uint64_t keys = std::clamp<std::uint64_t>(capacity_bytes / 1024, 64, 1U << 18);
    try {
        ghosts_.assign(std::bit_ceil(keys), Ghost{});
    } catch (const std::bad_alloc&) {
        ghosts_.clear();  // eviction works without a memory of the past, only less well
    }
}

EvictionQueue::List& EvictionQueue::list_of(const Evictable& entry) noexcept {
    return entry.queue == Evictable::Queue::small ? small_ : main_;
}

void EvictionQueue::push(List& list, Evictable& entry) noexcept {
    entry.queue = &list == &small_ ? Evictable::Queue::small : Evictable::Queue::main;
    entry.newer = nullptr;
    entry.older = list.newest;
    (list.newest != nullptr ? list.newest->newer : list.oldest) = &entry;
    list.newest = &entry;
    list.bytes += entry.bytes;
    ++list.count;
}

void EvictionQueue::unlink(List& list, Evictable& entry) noexcept {
    (entry.older != nullptr ? entry.older->newer : list.oldest) = entry.newer;
    (entry.newer != nullptr ? entry.newer->older : list.newest) = entry.older;
    list.bytes -= entry.bytes;
    --list.count;
}

void EvictionQueue::insert(Evictable& entry, std::uint64_t key) noexcept {
    push(forget(key) ? main_ : small_, entry);
}

void EvictionQueue::remove(Evictable& entry) noexcept {
    if (entry.queue == Evictable::Queue::none) return;
    unlink(list_of(entry), entry);
    entry.queue = Evictable::Queue::none;
}

void EvictionQueue::resize(Evictable& entry, std::uint32_t bytes) noexcept {
    if (entry.queue != Evictable::Queue::none) {
        List& list = list_of(entry);
        list.bytes += bytes;
        list.bytes -= entry.bytes;
    }
    entry.bytes = bytes;
}

void EvictionQueue::remember(std::uint64_t key) noexcept {
    if (ghosts_.empty()) return;
    const auto fingerprint = static_cast<std::uint32_t>(key >> 32);
    ghosts_[key & (ghosts_.size() - 1)] = {.fingerprint = fingerprint, .turn = turn_++};
}

bool EvictionQueue::forget(std::uint64_t key) noexcept {
    if (ghosts_.empty()) return false;
    Ghost& ghost = ghosts_[key & (ghosts_.size() - 1)];
    const bool same = ghost.turn != 0 && ghost.fingerprint == static_cast<std::uint32_t>(key >> 32);
    const bool recent = turn_ - ghost.turn <= std::max<std::size_t>(64, count());
    if (same) ghost = {};
    return same && recent;
}

}  // namespace qed
