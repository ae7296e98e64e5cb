// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sim/parallel.hpp"

namespace qed::sim {

struct SeedOptions {
    unsigned jobs = 2;
    std::uint64_t first_seed = 1;
    std::uint64_t seeds = 0;     ///< how many; 0: until `requests` or `seconds` are reached
    std::uint64_t requests = 0;  ///< guest requests, all jobs together
    double seconds = 0;
    bool narrates = false;            ///< prints all that happens
    bool chases_tables = false;       ///< only guests that load and change tables all the time
    std::size_t most_failures = 10;   ///< stop after so many in each process
    std::uint64_t repeat_every = 16;  ///< each so manieth seed runs twice: the traces must be equal
};

/// What one seed did.
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

/// Lets many guests use one image on a machine that fails, dies and loses power, as `seed` says,
/// and holds all they see against the model. Throws Failure.
SeedOutcome run_seed(std::uint64_t seed, bool narrates = false, bool chases_tables = false);

/// Runs one seed after the other. Failures name the command that replays them.
Tally explore_seeds(const SeedOptions& options);

}  // namespace qed::sim
