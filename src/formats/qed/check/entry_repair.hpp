// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "formats/qed/check/findings.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "formats/qed/check/table_scan.hpp"
#include "qed/check.hpp"
#include "qed/task.hpp"

namespace qed {

/// Adds a finding for each bad entry that `scan` has counted in `image`, in guest order, up to the
/// limit. Changes nothing.
/// \cost a second pass over the tables, until the limit is reached
Task<Result<void>> describe_bad_entries(const ImageTables& image, const ScanResult& scan,
                                        Findings& findings);

/// Repairs every bad entry of the image in `file`, whose NEED_CHECK bit is set and durable:
///
/// 1. A file that ends inside a named cluster or table is extended; the missing bytes read as
///    zeroes.
/// 2. L1 entries that name no valid place for a table are cleared. A table that overlaps an earlier
///    one is copied after the end of the file, and its L1 entry names the copy.
/// 3. An L2 entry that names a cluster of an L2 table, or a data cluster that a lower guest offset
///    names too, gets a copy of the cluster.
/// 4. L2 entries that name no valid place for a cluster are cleared.
///
/// Copies are made before any entry is cleared, and are durable before an entry names them: the
/// guest reads the same data as before, even after a power cut at any moment.
/// Copies stop when the file has doubled, and a copy whose source cannot be read is left out. Both
/// leave the entry unchanged, with a finding that is not `repaired`.
/// Counts corruptions_fixed in the report. Ends with a flush.
/// \errors those of the file; NEED_CHECK is then still set, and the repair can be run again
Task<Result<void>> repair_bad_entries(BlockFile& file, const CheckOptions& options,
                                      Findings& findings);

}  // namespace qed
