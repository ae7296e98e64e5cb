// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/counters.hpp"

namespace qed {

/// Events that a cache counts.
enum class CacheCounter : std::uint8_t {
    hits,
    misses,
    coalesced,
    read_bytes,
    commits,
    duplicates_dropped,
    stale_dropped,
    evictions,
    count_,
};
using CacheCounters = Counters<CacheCounter>;

}  // namespace qed
