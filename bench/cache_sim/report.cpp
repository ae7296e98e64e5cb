// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "byte_size.hpp"

namespace qed::cache_sim {
namespace {

std::string_view name_of(EntryForm form) {
    return form == EntryForm::raw ? "raw" : "compact";
}

std::string text_head(const Options& options, const Result& first) {
    std::string text = fmt::format("{}: {} lookups, miss %\n", first.trace, first.lookups);
    text += fmt::format("{:>10} {:>10} {:>9}", "entry", "budget", "touched");
    for (const PolicyKind* policy : options.policies)
        text += fmt::format(" {:>9}", policy->name);
    return text + '\n';
}

}  // namespace

std::string text_report(const Options& options, std::span<const Result> results) {
    std::string text = fmt::format(
        "clusters of {}, tables of {}, entries {} + {} B\n", format_bytes(options.cluster_bytes),
        format_bytes(options.table_bytes), name_of(options.form), options.record_bytes);
    const std::size_t rows = options.granularities.size() * options.budgets.size();
    for (std::size_t i = 0; i < results.size(); ++i) {
        const Result& result = results[i];
        if (i % rows == 0) text += '\n' + text_head(options, result);
        text += fmt::format("{:>10} {:>10} {:>9}", format_bytes(result.granularity),
                            format_bytes(result.budget_bytes), result.touched_entries);
        for (const Outcome& outcome : result.outcomes) {
            text += fmt::format(" {:>9.3f}", outcome.miss_percent());
        }
        text += '\n';
    }
    return text;
}

std::string json_report(const Options& options, std::span<const Result> results) {
    nlohmann::json document{{"cluster_bytes", options.cluster_bytes},
                            {"table_bytes", options.table_bytes},
                            {"record_bytes", options.record_bytes},
                            {"form", name_of(options.form)},
                            {"seed", options.seed},
                            {"volumes", options.volumes},
                            {"results", nlohmann::json::array()}};
    for (const Result& result : results) {
        nlohmann::json policies = nlohmann::json::array();
        for (std::size_t i = 0; i < result.outcomes.size(); ++i) {
            const Outcome& outcome = result.outcomes[i];
            policies.push_back({{"policy", options.policies[i]->name},
                                {"misses", outcome.misses},
                                {"miss_percent", outcome.miss_percent()},
                                {"table_bytes_read", outcome.misses * result.granularity},
                                {"evictions", outcome.evictions},
                                {"peak_bytes", outcome.peak_bytes},
                                {"peak_entries", outcome.peak_entries}});
        }
        document["results"].push_back({{"trace", result.trace},
                                       {"lookups", result.lookups},
                                       {"granularity_bytes", result.granularity},
                                       {"touched_entries", result.touched_entries},
                                       {"budget_bytes", result.budget_bytes},
                                       {"policies", std::move(policies)}});
    }
    // A file name may hold any bytes; bytes that are not UTF-8 are replaced.
    return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace qed::cache_sim
