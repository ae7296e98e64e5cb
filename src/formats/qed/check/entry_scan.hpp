// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "formats/qed/check/cluster_set.hpp"
#include "formats/qed/table_rules.hpp"

namespace qed {

/// Totals of the entries of L2 tables.
struct EntryTotals {
    std::uint64_t data = 0;  ///< entries that name a cluster, also one that was named before
    std::uint64_t zero = 0;
    std::uint64_t bad = 0;
    std::uint64_t repeated = 0;    ///< entries that name a cluster that was named before
    std::uint64_t fragmented = 0;  ///< data entries that do not follow the previous one in the file
    std::uint64_t cut_short = 0;   ///< bad entries in whose cluster the file ends

    EntryTotals& operator+=(const EntryTotals& other);
};

/// The first and the last data entry of a part of a table; 0 if there is none.
struct EntryEnds {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

/// Counts the entries of L2 tables, and records the clusters that they name.
///
/// Thread-safety: none; one object for each thread, merged at the end.
/// \cost about 2 ns per entry if the clusters are scattered over a large file, less than 0.5 ns if
///       they are consecutive
class EntryScan {
public:
    /// `limits.l2_tables` is not used: the caller first adds the clusters of tables.
    /// \param memory_limit  for each of the sets below
    /// \errors unsupported, out_of_memory
    static Result<EntryScan> create(const EntryLimits& limits, const Geometry& geometry,
                                    std::uint64_t memory_limit);

    /// Adds the next entries of one table, in host byte order. `ends` starts empty for each table
    /// and carries the last entries from call to call.
    void add(std::span<const std::uint64_t> entries, EntryEnds& ends);
    /// Records the clusters of a table or of the header, without counting repetitions.
    void add_table(FileOffset at, std::uint64_t bytes);
    /// Adds the results of a scan of other tables of the same image.
    void merge(const EntryScan& other);

    const EntryTotals& totals() const { return totals_; }
    EntryTotals& totals() { return totals_; }
    /// Clusters that are named.
    ClusterSet& used() { return used_; }
    const ClusterSet& used() const { return used_; }
    /// Clusters that are named more than once.
    const ClusterSet& repeated() const { return repeated_; }
    /// Clusters after the end of the file that bad entries name, within the possible growth during
    /// a repair: no copy may be placed there while such an entry exists.
    const ClusterSet& beyond() const { return beyond_; }
    /// If this is not none, the sets could not record all clusters, and are meaningless.
    ClusterSet::MissingTable lack() const {
        return std::max({used_.lack(), repeated_.lack(), beyond_.lack()});
    }

private:
    EntryScan(const EntryLimits& limits, const Geometry& geometry, ClusterSet used,
              ClusterSet repeated, ClusterSet beyond);

    /// The summary of a block of entries.
    struct TableSummary {
        enum class Kind : std::uint8_t { empty, data, mixed } kind = Kind::mixed;
        std::uint64_t breaks = 0;  ///< entries that do not name the cluster after the previous one
    };
    TableSummary survey(const std::uint64_t* block) const;
    void add_data(std::span<const std::uint64_t> block, std::uint64_t breaks, EntryEnds& ends);
    void add_mixed(std::span<const std::uint64_t> entries, EntryEnds& ends);
    void add_bad(std::uint64_t entry);

    EntryLimits limits_;
    unsigned cluster_bits_;
    EntryTotals totals_;
    ClusterSet used_;
    ClusterSet repeated_;
    ClusterSet beyond_;
};

/// The most tables that may be after the end of the file while they are moved.
inline constexpr std::uint64_t kMaxTablesMovedAtOnce = 1024;

/// The most clusters that a repair may add to a file of `file_bytes` for copies of clusters that
/// are named twice. A file may double, and a small one may grow by 64 MiB: an image that needs more
/// was not damaged but forged.
std::uint64_t repair_growth_clusters(std::uint64_t file_bytes, const Geometry& geometry);

}  // namespace qed
