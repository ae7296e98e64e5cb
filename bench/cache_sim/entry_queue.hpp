// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy.hpp"

namespace qed::cache_sim {

/// One queue of entries from young to old. Its links are in EntryLinks.
struct EntryQueue {
    EntryId youngest = kNone;
    EntryId oldest = kNone;
    std::uint64_t bytes = 0;

    bool empty() const { return youngest == kNone; }
};

/// Doubly linked queues over numbered entries; an entry is in one queue at most. Every operation
/// takes constant time and allocates nothing.
class EntryLinks {
public:
    explicit EntryLinks(std::span<const std::uint32_t> entry_bytes)
        : entry_bytes_(entry_bytes),
          older_(entry_bytes.size(), kNone),
          younger_(entry_bytes.size(), kNone) {}

    EntryId older(EntryId entry) const { return older_[entry]; }
    EntryId younger(EntryId entry) const { return younger_[entry]; }

    void push_young(EntryQueue& queue, EntryId entry) {
        younger_[entry] = kNone;
        older_[entry] = queue.youngest;
        (queue.empty() ? queue.oldest : younger_[queue.youngest]) = entry;
        queue.youngest = entry;
        queue.bytes += entry_bytes_[entry];
    }

    void unlink(EntryQueue& queue, EntryId entry) {
        const EntryId older = older_[entry];
        const EntryId younger = younger_[entry];
        (younger == kNone ? queue.youngest : older_[younger]) = older;
        (older == kNone ? queue.oldest : younger_[older]) = younger;
        queue.bytes -= entry_bytes_[entry];
    }

    EntryId pop_oldest(EntryQueue& queue) {
        const EntryId entry = queue.oldest;
        unlink(queue, entry);
        return entry;
    }

private:
    std::span<const std::uint32_t> entry_bytes_;
    std::vector<EntryId> older_;
    std::vector<EntryId> younger_;
};

}  // namespace qed::cache_sim
