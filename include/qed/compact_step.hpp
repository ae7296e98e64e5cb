// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed {

/// What a call of Image::compact_step() did.
struct CompactStep {
    std::uint64_t moved_bytes = 0;  ///< of data and tables, copied to another place in the file
    bool has_more = false;          ///< another step may move more
};

/// What a call of Image::sort_step() did.
struct SortStep {
    std::uint64_t moved_bytes = 0;
    std::uint64_t done_bytes = 0;  ///< of the disk: the data before is in order
    bool has_more = false;
};

}  // namespace qed
