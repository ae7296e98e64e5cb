// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <queue>
#include <utility>
#include <vector>

#include "policy.hpp"

namespace qed::cache_sim {

/// Belady's optimum: evicts the entry whose next use is furthest away. With entries of one size no
/// policy misses less; with entries of different sizes it is only a good approximation.
class Belady final : public EvictionPolicy {
public:
    explicit Belady(const PolicyInput& input);

    void on_hit(EntryId entry, Step now) override { candidates_.emplace(next_use_[now], entry); }
    void on_insert(EntryId entry, Step now) override { candidates_.emplace(next_use_[now], entry); }
    EntryId evict() override;

private:
    using Candidate = std::pair<Step, EntryId>;  // next use, entry

    std::vector<Step> next_use_;  // of the entry of each lookup
    std::priority_queue<Candidate> candidates_;
};

}  // namespace qed::cache_sim
