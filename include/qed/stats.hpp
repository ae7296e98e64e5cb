// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/cache_budget.hpp"

namespace qed {

/// What one open image has done since it was opened. A snapshot: counters are read one by one.
struct Stats {
    std::uint64_t reads = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t writes = 0;
    std::uint64_t write_bytes = 0;
    std::uint64_t zeroes = 0;  ///< write-zeroes requests
    std::uint64_t discards = 0;
    std::uint64_t flushes = 0;       ///< asked for by the guest
    std::uint64_t file_flushes = 0;  ///< done on the file
    std::uint64_t allocated_clusters = 0;
    std::uint64_t freed_clusters = 0;
    std::uint64_t reused_clusters = 0;
    std::uint64_t commit_groups = 0;    ///< groups of table updates
    std::uint64_t grouped_updates = 0;  ///< updates in them
    std::uint64_t table_writes = 0;     ///< writes of L2 and L1 sectors
    std::uint64_t table_write_bytes = 0;
    std::uint64_t turn_waits = 0;    ///< allocating requests that waited for the same cluster
    std::uint64_t mapped_bytes = 0;  ///< now in mappings of this file and its backing files
    CacheStats cache;                ///< this image's part; limit and bytes are the budget's
};

}  // namespace qed
