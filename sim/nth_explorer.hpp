// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sim/parallel.hpp"

namespace qed::sim {

struct NthOptions {
    unsigned jobs = 2;
    std::uint64_t at_once_seeds = 2;  ///< random orders in which each script also runs at once
    std::size_t cuts = 0;             ///< power cuts at this many flushes after the fault
    bool narrates = false;            ///< print every event
    double seconds = 0;
    std::size_t most_failures = 10;  ///< stop after this many failures in each process
    // One run only, to replay a failure:
    std::string setup;
    std::string word;
    std::string fault;
    std::uint64_t nth = 0;
    std::uint64_t at_once_seed = 0;
};

/// Runs each scripted workload repeatedly and fails the first I/O, then the second, and so on until
/// the last; once with a single failure, once with all later I/Os failing too.
Tally explore_nth(const NthOptions& options);

}  // namespace qed::sim
