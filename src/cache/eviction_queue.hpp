// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qed {

/// What the eviction queue knows of an entry. Entries are linked in place.
struct Evictable {
    enum class Queue : std::uint8_t { none, small, main };
    Evictable* older = nullptr;
    Evictable* newer = nullptr;
    std::uint32_t bytes = 0;
    Queue queue = Queue::none;
    bool is_leaf = false;
};

/// S3-FIFO measured in bytes (docs/adr/0002-eviction-policy.md). Not thread-safe: the budget's
/// lock is held around every call. `Entries` says what an entry is worth and takes it out:
///   bool may_evict(Evictable&)     nobody holds it
///   unsigned age(Evictable&)       its use count; one less is stored
///   void reset(Evictable&)         its use count becomes 0
///   uint64_t key(Evictable&)       a hash that stays the same when it comes back
///   void evict(Evictable&)         it has been unlinked: forget it
class EvictionQueue {
public:
    /// `capacity_bytes` sizes the memory of evicted keys; `small_target` is a fifth of it.
    void set_capacity(std::uint64_t capacity_bytes);
    void insert(Evictable& entry, std::uint64_t key) noexcept;
    void remove(Evictable& entry) noexcept;
    void resize(Evictable& entry, std::uint32_t bytes) noexcept;
    std::uint64_t bytes() const noexcept { return small_.bytes + main_.bytes; }
    std::size_t count() const noexcept { return small_.count + main_.count; }

    /// Evicts until the entries take at most `target` bytes, or all that are left are in use.
    template <class Entries>
    void shrink_to(std::uint64_t target, Entries& entries) noexcept {
        // Every use count reaches 0 within this many looks.
        std::size_t looks = 4 * count() + 8;
        while (bytes() > target && count() != 0 && looks-- != 0) {
            const bool from_small =
                main_.count == 0 || (small_.bytes > small_target_ && small_.count != 0);
            List& list = from_small ? small_ : main_;
            Evictable& oldest = *list.oldest;
            unlink(list, oldest);
            if (!entries.may_evict(oldest)) {
                push(list, oldest);
            } else if (entries.age(oldest) > 0) {
                if (from_small) entries.reset(oldest);
                push(main_, oldest);
            } else {
                if (from_small) remember(entries.key(oldest));
                oldest.queue = Evictable::Queue::none;
                entries.evict(oldest);
            }
        }
    }

private:
    struct List {
        Evictable* oldest = nullptr;
        Evictable* newest = nullptr;
        std::uint64_t bytes = 0;
        std::size_t count = 0;
    };
    void push(List& list, Evictable& entry) noexcept;
    static void unlink(List& list, Evictable& entry) noexcept;
    List& list_of(const Evictable& entry) noexcept;
    void remember(std::uint64_t key) noexcept;
    bool forget(std::uint64_t key) noexcept;

    /// A key that was evicted, and when; a newer key may overwrite it.
    struct Ghost {
        std::uint32_t fingerprint = 0;
        std::uint32_t turn = 0;
    };
    List small_;
    List main_;
    std::uint64_t small_target_ = 0;
    std::vector<Ghost> ghosts_;
    std::uint32_t turn_ = 1;
};

}  // namespace qed
