// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "policy.hpp"
#include "simulator.hpp"
#include "workload.hpp"

namespace qed::cache_sim {

/// A workload of entries of one size.
inline Workload equal_entries(std::vector<EntryId> lookups, std::size_t entries,
                              std::uint32_t bytes = 1) {
    return {std::move(lookups), std::vector<std::uint32_t>(entries, bytes)};
}

/// Replays `workload` and returns the entries in the order of their eviction. Does not use
/// simulate(), so that a fault there cannot hide a fault in a policy.
inline std::vector<EntryId> replay(EvictionPolicy& policy, const Workload& workload,
                                   std::uint64_t budget_bytes) {
    std::vector<EntryId> evicted;
    std::set<EntryId> resident;
    std::uint64_t bytes = 0;
    for (Step now = 0; now < workload.lookups.size(); ++now) {
        const EntryId entry = workload.lookups[now];
        if (resident.contains(entry)) {
            policy.on_hit(entry, now);
            continue;
        }
        bytes += workload.entry_bytes[entry];
        while (bytes > budget_bytes) {
            const EntryId victim = policy.evict();
            if (resident.erase(victim) == 0)
                return {kNone};  // evicted an entry that is not resident
            bytes -= workload.entry_bytes[victim];
            evicted.push_back(victim);
        }
        resident.insert(entry);
        policy.on_insert(entry, now);
    }
    return evicted;
}

/// The same for the policy with a name on the command line.
inline std::vector<EntryId> replay(std::string_view policy, const Workload& workload,
                                   std::uint64_t budget_bytes) {
    const auto made = find_policy(policy)->make({.lookups = workload.lookups,
                                                 .entry_bytes = workload.entry_bytes,
                                                 .budget_bytes = budget_bytes});
    return replay(*made, workload, budget_bytes);
}

}  // namespace qed::cache_sim
