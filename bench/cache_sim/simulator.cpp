// SPDX-License-Identifier: Apache-2.0
#include "simulator.hpp"

#include <algorithm>
#include <vector>

namespace qed::cache_sim {

Outcome simulate(const Workload& workload, std::uint64_t budget_bytes, EvictionPolicy& policy) {
    Outcome outcome{.lookups = workload.lookups.size()};
    std::vector<char> resident(workload.entry_bytes.size());
    std::uint64_t bytes = 0;
    std::uint64_t entries = 0;
    for (std::size_t step = 0; step < workload.lookups.size(); ++step) {
        const EntryId entry = workload.lookups[step];
        const auto now = static_cast<Step>(step);
        if (resident[entry] != 0) {
            policy.on_hit(entry, now);
            continue;
        }
        ++outcome.misses;
        const std::uint64_t needed = workload.entry_bytes[entry];
        if (needed > budget_bytes) continue;
        while (bytes + needed > budget_bytes) {
            const EntryId victim = policy.evict();
            resident[victim] = 0;
            bytes -= workload.entry_bytes[victim];
            --entries;
            ++outcome.evictions;
        }
        resident[entry] = 1;
        bytes += needed;
        ++entries;
        policy.on_insert(entry, now);
        outcome.peak_bytes = std::max(outcome.peak_bytes, bytes);
        outcome.peak_entries = std::max(outcome.peak_entries, entries);
    }
    return outcome;
}

Outcome simulate(const Workload& workload, std::uint64_t budget_bytes, const PolicyKind& kind) {
    const auto policy = kind.make({.lookups = workload.lookups,
                                   .entry_bytes = workload.entry_bytes,
                                   .budget_bytes = budget_bytes});
    return simulate(workload, budget_bytes, *policy);
}

}  // namespace qed::cache_sim
