// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "options.hpp"
#include "simulator.hpp"

namespace qed::cache_sim {

/// One trace at one granularity with one budget, under every policy asked for.
struct Result {
    std::string trace;
    std::uint64_t lookups = 0;
    std::uint64_t touched_entries = 0;  ///< different ones: each must be read once at least
    std::uint32_t granularity = 0;
    std::uint64_t budget_bytes = 0;
    std::vector<Outcome> outcomes;  ///< one for each of Options::policies
};

/// Makes or reads every trace of `options` and simulates all combinations, trace by trace.
std::expected<std::vector<Result>, std::string> run_experiment(const Options& options);

}  // namespace qed::cache_sim
