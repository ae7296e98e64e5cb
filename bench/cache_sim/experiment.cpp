// SPDX-License-Identifier: Apache-2.0
#include "experiment.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include <fmt/format.h>

namespace qed::cache_sim {
namespace {

std::expected<Trace, std::string> read_csv(const std::string& path, CsvFormat format) {
    if (path == "-") return read_csv_trace(std::cin, "standard input", format);
    std::ifstream file(path);
    if (!file) return std::unexpected(fmt::format("{}: {}", path, std::strerror(errno)));
    return read_csv_trace(file, path, format);
}

// All volumes side by side; each starts with its own L2 table.
std::expected<Trace, std::string> spread(Trace trace, const Options& options) {
    if (options.volumes == 1) return trace;
    const std::uint64_t span = options.table_bytes / 8 * options.cluster_bytes;
    const std::uint64_t end = end_of(trace);
    const std::uint64_t stride = (end / span + 1) * span;
    if (stride > kMaxOffset / options.volumes) {
        return std::unexpected(fmt::format("{}: {} volumes of {} bytes do not fit into 2^63 bytes",
                                           trace.name, options.volumes, end));
    }
    if (trace.requests.size() > kMaxLookups / options.volumes) {
        return std::unexpected(fmt::format("{}: {} requests times {} volumes are more than {}",
                                           trace.name, trace.requests.size(), options.volumes,
                                           kMaxLookups));
    }
    return interleave_volumes(trace, options.volumes, stride, options.seed);
}

std::expected<void, std::string> run_trace(Trace trace, const Options& options,
                                           std::vector<Result>& results) {
    const auto mixed = spread(std::move(trace), options);
    if (!mixed) return std::unexpected(mixed.error());
    const auto clusters = cluster_lookups(*mixed, options.cluster_bytes, options.lookup_limit);
    if (!clusters) return std::unexpected(clusters.error());
    for (const std::uint32_t granularity : options.granularities) {
        const Workload workload = make_workload(
            *clusters,
            {.raw_bytes = granularity, .record_bytes = options.record_bytes, .form = options.form});
        for (const std::uint64_t budget : options.budgets) {
            Result result{mixed->name,
                          workload.lookups.size(),
                          workload.entry_bytes.size(),
                          granularity,
                          budget,
                          {}};
            for (const PolicyKind* policy : options.policies) {
                result.outcomes.push_back(simulate(workload, budget, *policy));
            }
            results.push_back(std::move(result));
        }
    }
    return {};
}

}  // namespace

std::expected<std::vector<Result>, std::string> run_experiment(const Options& options) {
    std::vector<Result> results;
    for (const std::string& path : options.csv_paths) {
        auto trace = read_csv(path, options.csv_format);
        if (!trace) return std::unexpected(trace.error());
        if (const auto done = run_trace(std::move(*trace), options, results); !done) {
            return std::unexpected(done.error());
        }
    }
    for (const Generator* generator : options.synthetic) {
        Trace trace = generator->make({.image_bytes = options.image_bytes,
                                       .cluster_bytes = options.cluster_bytes,
                                       .table_bytes = options.table_bytes,
                                       .lookups = options.synthetic_lookups,
                                       .seed = options.seed});
        if (const auto done = run_trace(std::move(trace), options, results); !done) {
            return std::unexpected(done.error());
        }
    }
    return results;
}

}  // namespace qed::cache_sim
