// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <limits>
#include <string>
#include <vector>

#include "csv_trace.hpp"
#include "generators.hpp"
#include "policy.hpp"
#include "workload.hpp"

namespace qed::cache_sim {

/// The validated options of one run.
struct Options {
    std::vector<std::string> csv_paths;  ///< "-" is the standard input
    CsvFormat csv_format = CsvFormat::automatic;
    std::vector<const Generator*> synthetic;
    std::vector<const PolicyKind*> policies;
    std::vector<std::uint32_t> granularities;  ///< bytes of table in one entry
    std::vector<std::uint64_t> budgets;        ///< bytes
    std::uint64_t cluster_bytes = 65536;
    std::uint64_t table_bytes = 262144;
    std::uint64_t image_bytes = std::uint64_t{1} << 40;
    std::uint64_t synthetic_lookups = 2'000'000;
    std::uint64_t lookup_limit = std::numeric_limits<std::uint64_t>::max();
    std::uint32_t volumes = 1;
    std::uint32_t record_bytes = 64;
    EntryForm form = EntryForm::raw;
    std::uint64_t seed = 1;
    bool json = false;
};

/// The reason why the program ends after it parsed its command line.
struct Stop {
    int exit_status = 0;  ///< 0 after --help
    std::string message;  ///< for standard output if the status is 0, else for standard error
};

/// Reads the command line.
std::expected<Options, Stop> parse_options(int argc, const char* const* argv);

}  // namespace qed::cache_sim
