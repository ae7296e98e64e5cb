// SPDX-License-Identifier: Apache-2.0
#include "adaptive_s3_fifo.hpp"

#include <algorithm>
#include <optional>

namespace qed::cache_sim {
namespace {

// Shares of the budget, in percent. ADR 0002 has what was tried.
constexpr std::uint64_t kMinSmall = 10;
constexpr std::uint64_t kStartSmall = 20;
constexpr std::uint64_t kMaxSmall = 70;
constexpr std::uint64_t kSmallGhostSpan = 130;
constexpr std::uint64_t kMainGhostSpan = 100;

// One remembered key for so many bytes of budget: with keys of 16 bytes, 1/128 of it a list.
constexpr std::uint64_t kBudgetPerGhostKey = 2048;

// More slots than entries are of no use, however large the budget.
std::size_t ghost_slots(const PolicyInput& input) {
    return std::min<std::uint64_t>(input.budget_bytes / kBudgetPerGhostKey,
                                   input.entry_bytes.size() * 2);
}

}  // namespace

AdaptiveS3Fifo::AdaptiveS3Fifo(const PolicyInput& input)
    : entry_bytes_(input.entry_bytes),
      links_(input.entry_bytes),
      small_ghost_(ghost_slots(input), percent_of(input.budget_bytes, kSmallGhostSpan)),
      main_ghost_(ghost_slots(input), percent_of(input.budget_bytes, kMainGhostSpan)),
      uses_(input.entry_bytes.size()),
      min_small_(percent_of(input.budget_bytes, kMinSmall)),
      max_small_(percent_of(input.budget_bytes, kMaxSmall)),
      small_target_(percent_of(input.budget_bytes, kStartSmall)) {}

void AdaptiveS3Fifo::on_insert(EntryId entry, Step) {
    const std::uint64_t bytes = entry_bytes_[entry];
    const std::optional<std::uint64_t> small_age = small_ghost_.take(entry);
    const bool left_main = main_ghost_.take(entry).has_value();
    if (small_age && *small_age <= max_small_) {
        small_target_ = std::min(small_target_ + bytes, max_small_);
    } else if (left_main) {
        small_target_ -= std::min(bytes, small_target_ - min_small_);
    }
    uses_[entry] = 0;
    if (small_age) {
        links_.push_young(main_, entry);
    } else {
        links_.push_young(small_, entry);
        small_ghost_.advance(bytes);
    }
}

EntryId AdaptiveS3Fifo::evict() {
    for (;;) {
        if (small_.bytes > small_target_ || main_.empty()) {
            const EntryId entry = links_.pop_oldest(small_);
            if (uses_[entry] == 0) {
                // What the queue still holds has passed since the entry entered it.
                small_ghost_.remember(entry, small_.bytes);
                return entry;
            }
            uses_[entry] = 0;
            links_.push_young(main_, entry);
        } else {
            const EntryId entry = links_.pop_oldest(main_);
            if (uses_[entry] == 0) {
                main_ghost_.remember(entry, 0);
                main_ghost_.advance(entry_bytes_[entry]);
                return entry;
            }
            --uses_[entry];
            links_.push_young(main_, entry);
        }
    }
}

}  // namespace qed::cache_sim
