// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/progress.hpp"
#include "qed/task.hpp"

namespace qed {

enum class Repair : std::uint8_t {
    none,
    leaks,    ///< reclaims leaked clusters by moving others into them; touches nothing else
    entries,  ///< clears entries that name no usable cluster, and gives each entry that shares a
              ///< cluster its own copy; leaked clusters stay, because one of them may hold the data
              ///< that a cleared entry was meant to name
    all,      ///< entries, then leaks
};

/// One fault that check found. `guest_offset` and `length` state the guest bytes that it affects.
struct Finding {
    enum class Kind : std::uint8_t {
        bad_l1_entry,       ///< an L1 entry that names no whole table inside the file
        bad_l2_entry,       ///< an L2 entry that names no cluster inside the file
        duplicate_cluster,  ///< a cluster that two entries name
        unreadable_table,
        leaked_clusters,
        not_cleared,  ///< NEED_CHECK stays set; the message states the reason
    } kind;
    std::uint64_t guest_offset = 0;
    std::uint64_t length = 0;
    std::string message;
    bool repaired = false;
};

struct CheckReport {
    std::uint64_t image_end_offset = 0;  ///< end of the last cluster in use, bytes
    std::uint64_t total_clusters = 0;    ///< guest clusters
    std::uint64_t allocated_clusters = 0;
    std::uint64_t zero_clusters = 0;
    std::uint64_t fragmented_clusters = 0;  ///< do not follow their guest neighbour in the file
    std::uint64_t corruptions = 0;          ///< found and not repaired
    /// Clusters that no table names and that take space on the disk, not reclaimed. The next
    /// writer reclaims them: it uses them again, or gives their space back.
    std::uint64_t leaks = 0;
    /// Clusters that no table names, and that are holes of the file. The next writer uses them.
    std::uint64_t free_clusters = 0;
    std::uint64_t corruptions_fixed = 0;
    std::uint64_t leaks_fixed = 0;
    std::uint64_t check_errors = 0;  ///< tables that could not be read
    bool was_dirty = false;          ///< NEED_CHECK was set
    bool is_dirty = false;           ///< NEED_CHECK is set now
    std::vector<Finding> findings;   ///< the first ones, at most `finding_limit`
    std::uint64_t findings_omitted = 0;
};

struct CheckOptions {
    /// Name of the format. Null: the file's first bytes decide, and it is QED if no format
    /// recognises them.
    const char* format = nullptr;
    Repair repair = Repair::none;
    /// Repair::leaks and Repair::all also move clusters from the end of the file into free ones,
    /// and count these as leaks_fixed. Without it, an image that leaks nothing is left as it is.
    bool shortens = false;
    std::uint32_t finding_limit = 1000;
    /// Called regularly with the done and the total work of the current pass (in table bytes, or in
    /// clusters to move); returns false to stop the check.
    Progress progress;
    unsigned reads_in_flight = 4;  ///< for each thread
    /// Threads that read tables, including the caller's thread; small images use fewer. With more
    /// than one, the caller's thread waits at the end until the other threads have finished.
    /// Simulated files need 1.
    unsigned threads = 1;
    /// Limit for the set of clusters in use: one bit per cluster, in pages of 4 KiB. 256 MiB hold
    /// every 64 KiB cluster of a 128 TiB file; only a forged image needs more.
    /// Each thread has one such set, and a repair has up to three.
    std::uint64_t memory_limit = std::uint64_t{256} << 20;
};

/// Checks the image stored in `file` with the checker of its format. A repair needs a writable file
/// that no other code uses. After Repair::all a second check finds no fault.
///
/// The checker of QED (docs/format.md section 3) verifies that every cluster is named at most once,
/// and that every offset is aligned and inside the file. The memory used grows with the clusters
/// that tables name, not with what the header claims, and is bounded by `memory_limit`. It reads
/// every L1 entry that the largest legal image could use, and all entries of the
/// tables they name, including those past the end of the image: the clusters that these name are in
/// use. A cluster that no table names is free where the storage reports a hole, and leaked where it
/// does not or cannot know. Bytes after the last whole cluster of the file are no cluster and do
/// not count as leaked.
/// \errors not_qed, corrupt_metadata (the header is unusable), unsupported_feature, read_only,
///         io_error, out_of_memory, cancelled, invalid_argument (there is no such format),
///         unsupported (the format has no checker, or the tables name clusters spread over so long
///         a file that memory_limit does not suffice)
QED_API Task<Result<CheckReport>> check_file(BlockFile& file, CheckOptions options);

}  // namespace qed
