// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

enum class Repair : std::uint8_t {
    none,
    leaks,    ///< reclaims clusters that no table names; touches nothing else
    entries,  ///< clears entries that name nothing usable and copies doubly named clusters apart;
              ///< leaked clusters stay: they may hold what a cleared entry was meant to name
    all,      ///< entries, then leaks
};

/// One thing that check found. `guest_offset` and `length` say which guest bytes are concerned.
struct Finding {
    enum class Kind : std::uint8_t {
        bad_l1_entry,       ///< an L1 entry that names no whole table inside the file
        bad_l2_entry,       ///< an L2 entry that names no cluster inside the file
        duplicate_cluster,  ///< a cluster that two entries name
        unreadable_table,
        leaked_clusters,
        not_cleared,  ///< NEED_CHECK stays set, and why
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
    std::uint64_t fragmented_clusters = 0;  ///< not behind their guest neighbour in the file
    std::uint64_t corruptions = 0;          ///< found and not repaired
    std::uint64_t leaks = 0;                ///< clusters found leaked and not reclaimed
    std::uint64_t corruptions_fixed = 0;
    std::uint64_t leaks_fixed = 0;
    std::uint64_t check_errors = 0;  ///< tables that could not be read
    bool was_dirty = false;          ///< NEED_CHECK was set
    bool is_dirty = false;           ///< NEED_CHECK is set now
    std::vector<Finding> findings;   ///< the first ones, at most `finding_limit`
    std::uint64_t findings_omitted = 0;
};

struct CheckOptions {
    Repair repair = Repair::none;
    std::uint32_t finding_limit = 1000;
    /// Called now and then with done and total work of the present pass (table bytes, or clusters
    /// to move); returns false to stop.
    bool (*progress)(void* context, std::uint64_t done, std::uint64_t total) = nullptr;
    void* progress_context = nullptr;
    unsigned reads_in_flight = 4;  ///< for each thread
    /// Threads that read tables, the caller's included; small images take fewer. With more than one
    /// the caller's thread waits at the end for the last reads of the others. Simulated files: 1.
    unsigned threads = 1;
    /// For the set of clusters in use: one bit each, in pages of 4 KiB. 256 MiB do for every
    /// cluster of a file of 128 TiB in 64 KiB clusters; less suffices unless an image was made up.
    /// Each thread has such a set, and a repair up to three.
    std::uint64_t memory_limit = std::uint64_t{256} << 20;
};

/// Checks the image stored in `file` (docs/format.md section 3): every cluster named at most once,
/// every offset aligned and inside. Memory follows the clusters that tables name, whatever the
/// header claims, and is bounded by `memory_limit`. With `repair` the file must be writable and
/// nobody else may use it. After a repair of everything a second check finds nothing.
///
/// Every L1 entry that some image size could reach is looked at, and all entries of their tables,
/// also those past the end of the image: what they name is in use. Bytes behind the last whole
/// cluster of the file are no cluster, and not leaked.
/// \errors not_qed, corrupt_metadata (a header that cannot be used), unsupported_feature,
/// read_only,
///         io_error, out_of_memory, cancelled, unsupported (the tables name clusters all over a
///         file that is so long that memory_limit does not suffice)
Task<Result<CheckReport>> check_file(BlockFile& file, CheckOptions options);

}  // namespace qed
