// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed {

/// The state of a guest cluster in the cache's own terms: one of the markers below, or the offset
/// of a cluster of the image file, which is below 2^63 and a multiple of the cluster size. The
/// cache does not know raw entries: the EntryDecoder of the format turns them into these values.
///
/// Values with bit 63 set are reserved for kinds that have a place in the file and are more than
/// data (docs/adr/0018-cache-units.md). No decoder returns such a value today; readers treat it as
/// a bad entry.
using Entry = std::uint64_t;

inline constexpr Entry kUnallocatedEntry = 0;
inline constexpr Entry kZeroEntry = 1;
/// The raw entry breaks the format's rules. The decoder decides this once for each slice. Lookups
/// check nothing, and only requests that touch such an entry fail.
inline constexpr Entry kBadEntry = 2;

inline constexpr bool is_marker(Entry entry) {
    return entry <= kBadEntry;
}
/// One signed comparison: it also excludes the reserved kinds.
inline constexpr bool is_data_entry(Entry entry) {
    return static_cast<std::int64_t>(entry) > static_cast<std::int64_t>(kBadEntry);
}

}  // namespace qed
