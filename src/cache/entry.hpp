// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed {

/// The state of a guest cluster in the cache's own terms: one of the markers below, or the offset
/// of a cluster of the image file, which is below 2^63 and a multiple of the cluster size. The
/// cache does not know raw entries: the EntryDecoder of the format turns them into these values.
using Entry = std::uint64_t;

inline constexpr Entry kUnallocatedEntry = 0;
inline constexpr Entry kZeroEntry = 1;
/// The raw entry breaks the format's rules. The decoder decides this once for each slice. Lookups
/// check nothing, and only requests that touch such an entry fail.
inline constexpr Entry kBadEntry = 2;
/// Stored in another form, compressed for example. Where it is stored only the layer needs to know,
/// which looks it up in the table itself: reading such a cluster costs far more than that.
inline constexpr Entry kEncodedEntry = 3;

inline constexpr bool is_marker(Entry entry) {
    return entry <= kEncodedEntry;
}
inline constexpr bool is_data_entry(Entry entry) {
    return static_cast<std::int64_t>(entry) > static_cast<std::int64_t>(kEncodedEntry);
}

}  // namespace qed
