// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "policy.hpp"
#include "workload.hpp"

namespace qed::cache_sim {

/// The result of one policy with one workload.
struct Outcome {
    std::uint64_t lookups = 0;
    std::uint64_t misses = 0;
    std::uint64_t evictions = 0;
    std::uint64_t peak_bytes = 0;  ///< maximum of the resident bytes
    std::uint64_t peak_entries = 0;

    double miss_percent() const {
        return lookups == 0 ? 0.0
                            : 100.0 * static_cast<double>(misses) / static_cast<double>(lookups);
    }
};

/// Replays every lookup of `workload` on an empty cache of `budget_bytes`. An entry that exceeds
/// the budget is read at every lookup and never cached.
Outcome simulate(const Workload& workload, std::uint64_t budget_bytes, const PolicyKind& kind);
Outcome simulate(const Workload& workload, std::uint64_t budget_bytes, EvictionPolicy& policy);

}  // namespace qed::cache_sim
