// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "formats/qed/check/cluster_set.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "qed/check.hpp"
#include "qed/task.hpp"

namespace qed {

/// Makes the file of a sound image as short as the clusters in use allow, so that none is leaked:
/// clusters and tables from its end move into leaked ones, then the file is cut.
///
/// Every step leaves a sound image, without NEED_CHECK: a cluster is copied, the copy is flushed,
/// its entry names the copy, that is flushed, and only then the old place is used for something
/// else or cut off. Stopping anywhere, by a failure or a power cut, leaves some clusters leaked as
/// before; the next run goes on from there. No guest byte changes.
///
/// \param used  the clusters in use, as scan_tables() has found them; changed along the way
/// \errors as of the file; cancelled between two steps
/// \cost   each moved cluster is read and written once; one pass over the tables for each 262,144
///         of them; the file grows by one table for a moment when only tables are left to move
Task<Result<void>> reclaim_leaks(ImageTables& image, ClusterSet& used, const CheckOptions& options);

}  // namespace qed
