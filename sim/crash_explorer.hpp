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
    bool narrates = false;           ///< prints all that happens
    double seconds = 0;              ///< stop after that time; 0: when all is done
    std::size_t most_failures = 10;  ///< stop after so many in each process
    std::uint64_t states = 0;        ///< stop after so many states in each job; 0: when all is done
    // One workload alone, to replay a failure:
    std::string setup;  ///< how the names of the setups to run on start
    std::string word;
    std::uint64_t at_once_seed = 0;  ///< 0: one operation after the other
};

/// Runs every workload of up to `longest` operations on every setup, cuts the power at every
/// moment, and recovers what the cuts may leave.
Tally explore_crashes(const CrashOptions& options);

}  // namespace qed::sim
