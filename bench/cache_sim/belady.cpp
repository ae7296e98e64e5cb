// SPDX-License-Identifier: Apache-2.0
#include "belady.hpp"

namespace qed::cache_sim {

Belady::Belady(const PolicyInput& input) : next_use_(input.lookups.size(), kNone) {
    std::vector<Step> seen(input.entry_bytes.size(), kNone);
    for (std::size_t step = input.lookups.size(); step-- > 0;) {
        const EntryId entry = input.lookups[step];
        next_use_[step] = seen[entry];
        seen[entry] = static_cast<Step>(step);
    }
}

EntryId Belady::evict() {
    // A candidate that a later use replaced has its next use in the past, so it is never on top
    // while an entry is resident.
    const EntryId entry = candidates_.top().second;
    candidates_.pop();
    return entry;
}

}  // namespace qed::cache_sim
