// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "formats/qed/check/cluster_set.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// Adjacent clusters of the file that no table names.
struct UnnamedRun {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    bool is_hole = false;  ///< they take no space on the disk
};

/// Calls `visit` for every cluster below `clusters` that is not in `used`, in ascending runs.
///
/// \param questions  asks the storage so often where its holes are; what follows counts as data
/// \cost  one question for each change between hole and data that touches such clusters
void visit_unnamed(BlockFile& file, const ClusterSet& used, std::uint64_t clusters,
                   unsigned cluster_bits, std::uint64_t questions,
                   const std::function<void(const UnnamedRun&)>& visit);

}  // namespace qed
