// SPDX-License-Identifier: Apache-2.0
#include "queue_policies.hpp"

namespace qed::cache_sim {

EntryId Clock::evict() {
    for (;;) {
        const EntryId entry = links_.pop_oldest(queue_);
        if (uses_[entry] == 0) return entry;
        --uses_[entry];
        links_.push_young(queue_, entry);
    }
}

EntryId Sieve::evict() {
    EntryId entry = hand_ == kNone ? queue_.oldest : hand_;
    while (visited_[entry] != 0) {
        visited_[entry] = 0;
        entry = links_.younger(entry);
        if (entry == kNone) entry = queue_.oldest;
    }
    hand_ = links_.younger(entry);
    links_.unlink(queue_, entry);
    return entry;
}

}  // namespace qed::cache_sim
