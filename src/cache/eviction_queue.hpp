// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "cache/ghost_table.hpp"

namespace qed {

/// The data of an entry that the eviction queue uses. Entries are linked in place.
struct Evictable {
    enum class Queue : std::uint8_t { none, small, main, pinned };
    Evictable* older = nullptr;
    Evictable* newer = nullptr;
    std::uint32_t bytes = 0;
    Queue queue = Queue::none;
};

/// S3-FIFO measured in bytes, with a small queue that adapts its size
/// (docs/adr/0002-eviction-policy.md, docs/eviction.md). Not thread-safe: the caller holds the
/// budget's lock. `Entries` has these functions:
///   bool may_evict(Evictable&)     no request pins it
///   unsigned age(Evictable&)       returns its use count and stores one less
///   void reset(Evictable&)         its use count becomes 0
///   uint64_t key(Evictable&)       a hash that is the same when the entry comes back
///   void evict(Evictable&)         it has been unlinked: free it
class EvictionQueue {
public:
    /// `total`, if it is not null, is kept equal to the bytes of all queues that share it.
    explicit EvictionQueue(std::uint64_t* total = nullptr) noexcept : total_(total) {}

    /// The limits of the small queue and the number of ghosts follow from the capacity. The small
    /// queue starts again at a fifth of it, and all ghosts are forgotten.
    void set_capacity(std::uint64_t capacity_bytes) noexcept;
    void insert(Evictable& entry, std::uint64_t key) noexcept;
    void remove(Evictable& entry) noexcept;
    void resize(Evictable& entry, std::uint32_t bytes) noexcept;
    /// No request pins `entry` any more. The owner calls this each time that may_evict() becomes
    /// true.
    void unpin(Evictable& entry) noexcept;
    std::uint64_t bytes() const noexcept { return small_.bytes + main_.bytes + pinned_.bytes; }
    std::size_t count() const noexcept { return small_.count + main_.count + pinned_.count; }
    std::uint64_t small_target_bytes() const noexcept { return small_target_; }

    /// The largest number of bytes that the ghosts may use.
    std::size_t memory_bytes() const noexcept {
        return small_ghosts_.memory_bytes() + main_ghosts_.memory_bytes();
    }
    /// Entries that are not known to be pinned.
    std::size_t waiting() const noexcept { return small_.count + main_.count; }

    /// Examines the next entry. Evicts it, unless it is pinned or was used; in these cases moves it
    /// on. Requires waiting() > 0. Returns its bytes.
    template <class Entries>
    std::uint32_t evict_one(Entries& entries) noexcept {
        const bool from_small =
            main_.count == 0 || (small_.bytes > small_target_ && small_.count != 0);
        List& list = from_small ? small_ : main_;
        Evictable& oldest = *list.oldest;
        const std::uint32_t bytes = oldest.bytes;
        unlink(list, oldest);
        if (!entries.may_evict(oldest)) {
            push(Evictable::Queue::pinned, oldest);  // out of the way until unpin()
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

    /// Evicts until the entries take at most `target` bytes, or all that are left are pinned.
    template <class Entries>
    void shrink_to(std::uint64_t target, Entries& entries) noexcept {
        // Every use count reaches 0 within this many turns.
        std::size_t turns = 6 * count() + 8;
        while (bytes() > target && waiting() != 0 && turns-- != 0)
            evict_one(entries);
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
    List pinned_;  // what was pinned when its turn came
    std::uint64_t min_small_ = 0;
    std::uint64_t max_small_ = 0;
    std::uint64_t small_target_ = 0;
    GhostTable small_ghosts_;  // its clock counts bytes that enter the small queue
    GhostTable main_ghosts_;   // its clock counts bytes that are evicted from the main queue
};

}  // namespace qed
