// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "options.hpp"
#include "simulator.hpp"

namespace qed::cache_sim {

/// One trace at one granularity with one budget, under every requested policy.
struct Result {
    std::string trace;
    std::uint64_t lookups = 0;
    std::uint64_t touched_entries = 0;  ///< distinct entries; each must be read at least once
    std::uint32_t granularity = 0;
    std::uint64_t budget_bytes = 0;
    std::vector<Outcome> outcomes;  ///< one for each of Options::policies
};

/// Makes or reads every trace of `options` and simulates all combinations, trace by trace.
std::expected<std::vector<Result>, std::string> run_experiment(const Options& options);

}  // namespace qed::cache_sim
