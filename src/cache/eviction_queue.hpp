// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cache/ghost_table.hpp"

namespace qed {

/// What the eviction queue knows of an entry. Entries are linked in place.
struct Evictable {
    enum class Queue : std::uint8_t { none, small, main, held };
    Evictable* older = nullptr;
    Evictable* newer = nullptr;
    std::uint32_t bytes = 0;
    Queue queue = Queue::none;
    bool is_leaf = false;
};

/// S3-FIFO measured in bytes, whose small queue finds its own size
/// (docs/adr/0002-eviction-policy.md). Not thread-safe: the budget's lock is held around every
/// call. `Entries` says what an entry is worth and takes it out:
///   bool may_evict(Evictable&)     nobody holds it
///   unsigned age(Evictable&)       its use count; one less is stored
///   void reset(Evictable&)         its use count becomes 0
///   uint64_t key(Evictable&)       a hash that stays the same when it comes back
///   void evict(Evictable&)         it has been unlinked: forget it
class EvictionQueue {
public:
    /// `total`, if there is one, is kept equal to the bytes of all queues that share it.
    explicit EvictionQueue(std::uint64_t* total = nullptr) noexcept : total_(total) {}

    /// The limits of the small queue and the memory of evicted keys follow from this. The small
    /// queue begins again at a fifth of it, and what was evicted is forgotten.
    void set_capacity(std::uint64_t capacity_bytes) noexcept;
    void insert(Evictable& entry, std::uint64_t key) noexcept;
    void remove(Evictable& entry) noexcept;
    void resize(Evictable& entry, std::uint32_t bytes) noexcept;
    /// Nobody holds `entry` any more. Must follow each time that may_evict() becomes true.
    void let_go(Evictable& entry) noexcept;
    std::uint64_t bytes() const noexcept { return small_.bytes + main_.bytes + held_.bytes; }
    std::size_t count() const noexcept { return small_.count + main_.count + held_.count; }
    std::uint64_t small_target_bytes() const noexcept { return small_target_; }

    /// What the keys of evicted entries may take.
    std::size_t memory_bytes() const noexcept {
        return small_ghosts_.memory_bytes() + main_ghosts_.memory_bytes();
    }
    /// Entries that are not known to be in use.
    std::size_t waiting() const noexcept { return small_.count + main_.count; }

    /// Looks at the entry whose turn it is; waiting() > 0. Returns its bytes.
    template <class Entries>
    std::uint32_t look(Entries& entries) noexcept {
        const bool from_small =
            main_.count == 0 || (small_.bytes > small_target_ && small_.count != 0);
        List& list = from_small ? small_ : main_;
        Evictable& oldest = *list.oldest;
        const std::uint32_t bytes = oldest.bytes;
        unlink(list, oldest);
        if (!entries.may_evict(oldest)) {
            push(Evictable::Queue::held, oldest);  // out of the way until let_go()
        } else if (entries.age(oldest) > 0) {
            if (from_small) entries.reset(oldest);
            push(Evictable::Queue::main, oldest);
        } else {
            remember(oldest, entries.key(oldest), from_small);
            oldest.queue = Evictable::Queue::none;
            entries.evict(oldest);
        }
        return bytes;
    }

    /// Evicts until the entries take at most `target` bytes, or all that are left are in use.
    template <class Entries>
    void shrink_to(std::uint64_t target, Entries& entries) noexcept {
        // Every use count reaches 0 within this many looks.
        std::size_t looks = 6 * count() + 8;
        while (bytes() > target && waiting() != 0 && looks-- != 0)
            look(entries);
    }

private:
    struct List {
        Evictable* oldest = nullptr;
        Evictable* newest = nullptr;
        std::uint64_t bytes = 0;
        std::size_t count = 0;
    };
    void push(Evictable::Queue queue, Evictable& entry) noexcept;
    void unlink(List& list, Evictable& entry) noexcept;
    List& list_of(const Evictable& entry) noexcept;
    void remember(const Evictable& entry, std::uint64_t key, bool from_small) noexcept;

    std::uint64_t* total_;
    List small_;
    List main_;
    List held_;  // what was in use when its turn came
    std::uint64_t min_small_ = 0;
    std::uint64_t max_small_ = 0;
    std::uint64_t small_target_ = 0;
    GhostTable small_ghosts_;  // its clock counts bytes that enter the small queue
    GhostTable main_ghosts_;   // its clock counts bytes that are evicted from the main queue
};

}  // namespace qed
