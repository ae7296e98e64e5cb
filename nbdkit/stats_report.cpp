// SPDX-License-Identifier: Apache-2.0
#include "stats_report.hpp"

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "qed/geometry.hpp"
#include "qed/version.hpp"

namespace qed::nbdkit {

void print_stats(const Stats& stats) {
    struct Counter {
        std::string_view name;
        std::uint64_t value;
    };
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
        {"cache_limit_bytes", stats.cache.limit_bytes},
        {"cache_bytes", stats.cache.bytes},
        {"cache_peak_bytes", stats.cache.peak_bytes},
        {"cache_hits", stats.cache.hits},
        {"cache_misses", stats.cache.misses},
        {"cache_coalesced", stats.cache.coalesced},
        {"cache_read_bytes", stats.cache.read_bytes},
        {"cache_evictions", stats.cache.evictions},
    };
    std::string text;
    for (const Counter& counter : counters) {
        text += fmt::format("qed_{}={}\n", counter.name, counter.value);
    }
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
