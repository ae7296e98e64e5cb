// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed {

/// The properties of a format's tables that the cache uses. Counts are powers of two.
struct TableShape {
    unsigned entry_span_bits = 0;         ///< an entry maps 2^this guest bytes: a cluster
    std::uint64_t entries_per_table = 0;  ///< of a second-level table
    std::uint32_t slice_entries = 0;      ///< the requested unit of reading and of eviction
    std::uint64_t max_guest_bytes = 0;    ///< the largest image that the format allows
    /// In the file a table is a row of units. The decoder turns each into `unit_entries` entries.
    std::uint32_t unit_bytes = 8;
    std::uint32_t unit_entries = 1;
};

}  // namespace qed
