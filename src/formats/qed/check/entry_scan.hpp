// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "formats/qed/check/cluster_set.hpp"
#include "formats/qed/table_rules.hpp"

namespace qed {

/// What the entries of L2 tables add up to.
struct EntryTotals {
    std::uint64_t data = 0;  ///< entries that name a cluster, also one named before
    std::uint64_t zero = 0;
    std::uint64_t bad = 0;
    std::uint64_t repeated = 0;    ///< entries that name a cluster that was named before
    std::uint64_t fragmented = 0;  ///< data entries not behind the one before them in their table
    std::uint64_t cut_short = 0;   ///< those of the bad ones whose cluster the file ends in

    EntryTotals& operator+=(const EntryTotals& other);
};

/// The first and the last data entry of a part of a table; 0 where there is none.
struct EntryEnds {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

/// Goes over entries of L2 tables: counts them and notes which clusters they name.
///
/// Thread-safety: none; one object for each thread, merged at the end.
/// \cost about 2 ns an entry where clusters are scattered over a large file, less than 0.5 ns where
///       they follow each other
class EntryScan {
public:
    /// `limits.l2_tables` is not used: the clusters of tables are put into used() first.
    /// \param memory_limit  for each of the sets below
    /// \errors unsupported, out_of_memory
    static Result<EntryScan> create(const EntryLimits& limits, const Geometry& geometry,
                                    std::uint64_t memory_limit);

    /// Takes the next entries of one table, in host byte order. `ends` starts empty with each
    /// table and tells what was behind the entries of the call before.
    void add(std::span<const std::uint64_t> entries, EntryEnds& ends);
    /// Notes the clusters of a table or of the header; returns nothing about repetitions.
    void add_table(FileOffset at, std::uint64_t bytes);
    /// Adds what another scan of other tables of the same image has found.
    void merge(const EntryScan& other);

    const EntryTotals& totals() const { return totals_; }
    EntryTotals& totals() { return totals_; }
    /// Clusters that are named.
    ClusterSet& used() { return used_; }
    const ClusterSet& used() const { return used_; }
    /// Clusters that are named more than once.
    const ClusterSet& repeated() const { return repeated_; }
    /// Clusters behind the end of the file that bad entries name, as far as the file may grow while
    /// it is repaired: nothing may be put there while such an entry exists.
    const ClusterSet& beyond() const { return beyond_; }
    /// Anything but none: the sets could not take all clusters, and mean nothing.
    ClusterSet::MissingTable lack() const {
        return std::max({used_.lack(), repeated_.lack(), beyond_.lack()});
    }

private:
    EntryScan(const EntryLimits& limits, const Geometry& geometry, ClusterSet used,
              ClusterSet repeated, ClusterSet beyond);

    /// What a block of entries is as a whole.
    struct TableSummary {
        enum class Kind : std::uint8_t { empty, data, mixed } kind = Kind::mixed;
        std::uint64_t breaks = 0;  ///< entries that are not one cluster behind the one before
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

/// How many tables may be behind the end of the file while they are moved.
inline constexpr std::uint64_t kMaxTablesMovedAtOnce = 1024;

/// How many clusters a repair may add to a file of `file_bytes`: copies of clusters that are named
/// twice. A file may double, and a small one may grow by 64 MiB: what needs more was not damaged
/// but made up.
std::uint64_t repair_growth_clusters(std::uint64_t file_bytes, const Geometry& geometry);

}  // namespace qed
