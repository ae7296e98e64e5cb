// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cache/slice_store.hpp"

namespace qed {

/// The cache as a client of its budget: which slices and blocks may be evicted, and how often they
/// were used. Its functions only decide; SliceStore removes the entries.
class SliceEvictor final : public EvictionClient {
public:
    SliceEvictor(SliceDirectory& directory, SliceStore& store,
                 const CacheCounters& counters) noexcept
        : directory_(directory), store_(store), counters_(counters) {}

    bool may_evict(const BudgetEntry& entry) const noexcept override QED_REQUIRES(budget_lock);
    unsigned age(BudgetEntry& entry) noexcept override QED_REQUIRES(budget_lock);
    void reset_uses(BudgetEntry& entry) noexcept override QED_REQUIRES(budget_lock);
    std::uint64_t ghost_key(const BudgetEntry& entry) const noexcept override
        QED_REQUIRES(budget_lock);
    void evict(BudgetEntry& entry) noexcept override QED_REQUIRES(budget_lock);
    std::uint64_t release_unused(std::uint64_t slot) noexcept override QED_REQUIRES(budget_lock);
    void add_to(CacheStats& stats) const noexcept override QED_REQUIRES(budget_lock);

private:
    void release_unused(DirectoryBlock& block) noexcept QED_REQUIRES(budget_lock);

    SliceDirectory& directory_;
    SliceStore& store_;
    const CacheCounters& counters_;
};

}  // namespace qed
