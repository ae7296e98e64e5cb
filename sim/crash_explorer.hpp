// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sim/crash_states.hpp"
#include "sim/parallel.hpp"

namespace qed::sim {

struct CrashOptions {
    unsigned jobs = 2;
    unsigned longest = 3;  ///< operations in a workload
    CrashLimits limits{.exhaustive_bits = 14, .samples = 64};
    CrashLimits second_limits{.exhaustive_bits = 3, .samples = 6};
    std::uint64_t seed = 1;
    unsigned at_once = 1;            ///< random orders in which each workload also runs all at once
    bool narrates = false;           ///< print every event
    double seconds = 0;              ///< stop after this time; 0: when all is done
    std::size_t most_failures = 10;  ///< stop after this many failures in each process
    std::uint64_t states = 0;        ///< stop after this many states in each job; 0: no limit
    // One workload only, to replay a failure:
    std::string setup;  ///< prefix of the names of the setups to use
    std::string word;
    std::uint64_t at_once_seed = 0;  ///< 0: sequential operations
};

/// Runs every workload of up to `longest` operations on every setup, cuts the power at every
/// moment, and recovers every state that a cut may leave.
Tally explore_crashes(const CrashOptions& options);

}  // namespace qed::sim
