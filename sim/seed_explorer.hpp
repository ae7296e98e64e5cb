// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sim/parallel.hpp"

namespace qed::sim {

struct SeedOptions {
    unsigned jobs = 2;
    std::uint64_t first_seed = 1;
    std::uint64_t seeds = 0;     ///< number of seeds; 0: until `requests` or `seconds` are reached
    std::uint64_t requests = 0;  ///< guest requests of all jobs together
    double seconds = 0;
    bool narrates = false;            ///< print every event
    bool chases_tables = false;       ///< only guests that load and change tables all the time
    std::size_t most_failures = 10;   ///< stop after this many failures in each process
    std::uint64_t repeat_every = 16;  ///< every N-th seed runs twice; the traces must be equal
};

/// The result of one seed.
struct SeedOutcome {
    std::uint64_t trace = 0;
    std::uint64_t requests = 0;
    std::uint64_t failed_requests = 0;
    std::uint64_t events = 0;
    std::uint64_t lives = 0;
    std::uint64_t power_cuts = 0;
    std::uint64_t kills = 0;
    std::uint64_t injected = 0;
    std::uint64_t evictions = 0;
    std::uint64_t most_at_once = 0;
};

/// Runs many guests on one image, on a machine with I/O failures, kills and power cuts that `seed`
/// chooses, and compares all data that they see with the model. Throws Failure.
SeedOutcome run_seed(std::uint64_t seed, bool narrates = false, bool chases_tables = false);

/// Runs consecutive seeds. A failure names the command that replays it.
Tally explore_seeds(const SeedOptions& options);

}  // namespace qed::sim
