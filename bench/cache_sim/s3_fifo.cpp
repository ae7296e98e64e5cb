// SPDX-License-Identifier: Apache-2.0
#include "s3_fifo.hpp"

#include "random.hpp"

namespace qed::cache_sim {

S3Fifo::S3Fifo(const PolicyInput& input, const Options& options)
    : entry_bytes_(input.entry_bytes),
      links_(input.entry_bytes),
      uses_(input.entry_bytes.size()),
      small_target_(percent_of(input.budget_bytes, options.small_percent)),
      uses_to_promote_(options.uses_to_promote) {
    // Space for every key, so that no key is lost early.
    ghosts_.reset(input.entry_bytes.size() * 4, input.budget_bytes);
}

void S3Fifo::on_insert(EntryId entry, Step) {
    uses_[entry] = 0;
    if (ghosts_.take(mix(entry))) {
        links_.push_young(main_, entry);
    } else {
        links_.push_young(small_, entry);
        ghosts_.advance(entry_bytes_[entry]);
    }
}

EntryId S3Fifo::evict() {
    for (;;) {
        if (small_.bytes > small_target_ || main_.empty()) {
            const EntryId entry = links_.pop_oldest(small_);
            if (uses_[entry] < uses_to_promote_) {
                ghosts_.remember(mix(entry), small_.bytes);
                return entry;
            }
            uses_[entry] = 0;
            links_.push_young(main_, entry);
        } else {
            const EntryId entry = links_.pop_oldest(main_);
            if (uses_[entry] == 0) return entry;
            --uses_[entry];
            links_.push_young(main_, entry);
        }
    }
}

}  // namespace qed::cache_sim
