// SPDX-License-Identifier: Apache-2.0
#include "stats_report.hpp"

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "qed/geometry.hpp"
#include "qed/version.hpp"

namespace qed::nbdkit {

namespace {

struct Counter {
    std::string_view name;
    std::uint64_t value;
};

void append(std::string& text, std::string_view prefix, std::span<const Counter> counters) {
    for (const Counter& counter : counters) {
        text += fmt::format("qed_{}{}={}\n", prefix, counter.name, counter.value);
    }
}

void append(std::string& text, std::string_view prefix, const CacheStats& stats) {
    const Counter counters[] = {
        {"hits", stats.hits},
        {"misses", stats.misses},
        {"coalesced", stats.coalesced},
        {"loads_in_flight", stats.loads_in_flight},
        {"read_bytes", stats.read_bytes},
        {"commits", stats.commits},
        {"duplicates_dropped", stats.duplicates_dropped},
        {"stale_dropped", stats.stale_dropped},
        {"evictions", stats.evictions},
        {"slices", stats.slices},
        {"pinned", stats.pinned},
    };
    append(text, prefix, counters);
}

}  // namespace

void print_stats(const Stats& stats, const CacheStats& total) {
    const Counter counters[] = {
        {"reads", stats.reads},
        {"read_bytes", stats.read_bytes},
        {"writes", stats.writes},
        {"write_bytes", stats.write_bytes},
        {"zeroes", stats.zeroes},
        {"discards", stats.discards},
        {"flushes", stats.flushes},
        {"file_flushes", stats.file_flushes},
        {"allocated_clusters", stats.allocated_clusters},
        {"freed_clusters", stats.freed_clusters},
        {"reused_clusters", stats.reused_clusters},
        {"commit_groups", stats.commit_groups},
        {"grouped_updates", stats.grouped_updates},
        {"table_writes", stats.table_writes},
        {"table_write_bytes", stats.table_write_bytes},
        {"turn_waits", stats.turn_waits},
        {"mapped_bytes", stats.mapped_bytes},
    };
    const Counter memory[] = {
        {"limit_bytes", total.limit_bytes}, {"bytes", total.bytes},
        {"peak_bytes", total.peak_bytes},   {"grows", total.grows},
        {"shrinks", total.shrinks},
    };
    std::string text;
    append(text, "", counters);
    append(text, "cache_", stats.cache);
    append(text, "cache_", memory);
    append(text, "cache_total_", total);
    fmt::print(stderr, "{}", text);
}

void print_warning(std::string_view text) {
    fmt::print(stderr, "nbdkit: qed: warning: {}\n", text);
}

void print_plugin_facts() {
    fmt::print(
        "qed_version={}\nqed_min_cluster_size={}\nqed_max_cluster_size={}\n"
        "qed_max_table_size={}\n",
        kVersion, kMinClusterBytes, kMaxClusterBytes, kMaxTableClusters);
}

}  // namespace qed::nbdkit
