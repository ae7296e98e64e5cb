// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "formats/qed/check/cluster_set.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "qed/check.hpp"
#include "qed/task.hpp"

namespace qed {

/// Makes the file of a consistent image as short as the clusters in use permit, so that none is
/// leaked: clusters and tables from its end move into leaked clusters, then the file is truncated.
///
/// Every step leaves a consistent image, without NEED_CHECK: the cluster is copied, the copy is
/// flushed, the entry is changed to name the copy, that is flushed, and only then the old place is
/// reused or truncated. Stopping at any moment, by a failure or a power cut, leaves some clusters
/// leaked as before; the next run continues. No guest byte changes.
///
/// \param used  the clusters in use that scan_tables() has found; updated with each step
/// \errors those of the file; cancelled between two steps
/// \cost   each moved cluster is read and written once; one pass over the tables for each 262,144
///         of them; the file temporarily grows by one table when only tables are left to move
Task<Result<void>> reclaim_leaks(ImageTables& image, ClusterSet& used, const CheckOptions& options);

}  // namespace qed
