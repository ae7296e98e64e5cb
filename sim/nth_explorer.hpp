// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sim/parallel.hpp"

namespace qed::sim {

struct NthOptions {
    unsigned jobs = 2;
    std::uint64_t at_once_seeds = 2;  ///< random orders in which each script also runs at once
    std::size_t cuts = 0;             ///< power cuts at so many flushes that follow the fault
    bool narrates = false;            ///< prints all that happens
    double seconds = 0;
    std::size_t most_failures = 10;  ///< stop after so many in each process
    // One run alone, to replay a failure:
    std::string setup;
    std::string word;
    std::string fault;
    std::uint64_t nth = 0;
    std::uint64_t at_once_seed = 0;
};

/// Runs scripted workloads again and again, each time failing the next I/O: the first, the second,
/// until none is left to fail; once, and from then on.
Tally explore_nth(const NthOptions& options);

}  // namespace qed::sim
