// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/cache_budget.hpp"

namespace qed {

/// Counters of one image since it was opened. They are read one at a time, while requests run, so
/// that their sums need not agree exactly.
struct Stats {
    std::uint64_t reads = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t writes = 0;
    std::uint64_t write_bytes = 0;
    std::uint64_t zeroes = 0;  ///< write-zeroes requests
    std::uint64_t discards = 0;
    std::uint64_t flushes = 0;       ///< flush requests of the guest
    std::uint64_t file_flushes = 0;  ///< flushes of the image file
    std::uint64_t allocated_clusters = 0;
    std::uint64_t freed_clusters = 0;
    std::uint64_t reused_clusters = 0;
    std::uint64_t commit_groups = 0;    ///< groups of table updates
    std::uint64_t grouped_updates = 0;  ///< table updates in these groups
    std::uint64_t table_writes = 0;     ///< writes of L2 and L1 sectors
    std::uint64_t table_write_bytes = 0;
    std::uint64_t turn_waits = 0;    ///< allocating requests that waited for the same cluster
    std::uint64_t mapped_bytes = 0;  ///< bytes of this file and its backing files mapped now
    CacheStats cache;                ///< this image's part; limit and bytes are the budget's
};

}  // namespace qed
