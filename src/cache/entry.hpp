// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "formats/qed/table_rules.hpp"

namespace qed {

/// A table entry in memory: one of the markers (kUnallocatedEntry,
/// kZeroEntry), or the file offset of a cluster. Entries that
/// break the format's rules become kBadEntry when a slice is decoded, so that lookups check
/// nothing and only requests that touch them fail.
using Entry = std::uint64_t;
inline constexpr Entry kBadEntry = 2;

inline constexpr bool is_data_entry(Entry entry) {
    return entry > kBadEntry;
}

}  // namespace qed
