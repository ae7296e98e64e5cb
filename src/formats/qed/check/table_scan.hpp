// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "formats/qed/check/entry_scan.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "qed/check.hpp"
#include "qed/task.hpp"

namespace qed {

/// The result of a scan of all L2 tables of an image.
struct ScanResult {
    EntryScan entries;
    /// Tables that the storage could not read, by file offset. The clusters they name are unknown.
    std::vector<TablePlace> unreadable;

    std::uint64_t bad_entries() const { return entries.totals().bad + entries.totals().repeated; }
};

/// Reads every usable L2 table once, in the order of the file, with `options.reads_in_flight` reads
/// at a time. A table that cannot be read is recorded; the others are still scanned.
/// \errors cancelled, unsupported (clusters scattered over a file that is too long), out_of_memory
/// \cost   one sequential pass over the tables; memory for the set of clusters in use, and 256 KiB
///         for each read in flight
Task<Result<ScanResult>> scan_tables(const ImageTables& image, const CheckOptions& options);

}  // namespace qed
