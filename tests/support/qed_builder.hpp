// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "qed/header.hpp"
#include "support/geometries.hpp"
#include "support/memory_file.hpp"

namespace qed::test {

/// Builds a QED image in a MemoryFile: consistent, or damaged in any way that a test needs.
/// Positions are cluster numbers of the file.
class QedBuilder {
public:
    /// An empty image of `image_bytes`: a header followed by the L1 table.
    explicit QedBuilder(const Geometry& geometry, std::uint64_t image_bytes,
                        std::uint64_t features = 0);
    /// 4 KiB clusters and tables of one: 512 entries, 2 MiB of guest for each L2 table.
    static QedBuilder small(std::uint64_t image_bytes = std::uint64_t{64} << 20);

    /// Puts an empty L2 table for `l1_index` at the end of the file; returns its position.
    std::uint64_t add_table(std::uint64_t l1_index);
    /// Puts a data cluster at the end of the file, filled with bytes made from its position, and
    /// names it in table `l1_index`; returns its position.
    std::uint64_t add_data(std::uint64_t l1_index, std::uint64_t l2_index);
    /// Puts `count` clusters that nothing names at the end of the file.
    std::uint64_t add_leak(std::uint64_t count = 1);

    void set_l1(std::uint64_t l1_index, std::uint64_t entry);
    void set_l2(std::uint64_t l1_index, std::uint64_t l2_index, std::uint64_t entry);
    std::uint64_t l1(std::uint64_t l1_index) const;
    std::uint64_t l2(std::uint64_t l1_index, std::uint64_t l2_index) const;
    void set_header(const Header& header);
    const Header& header() const { return header_; }
    const Geometry& geometry() const { return geometry_; }
    std::uint64_t cluster_bytes() const { return geometry_.cluster_bytes(); }
    /// Clusters of the file, rounded up.
    std::uint64_t clusters() const { return geometry_.clusters_for(file.bytes()); }
    std::uint64_t offset(std::uint64_t position) const { return position * cluster_bytes(); }

    MemoryFile file;

private:
    std::uint64_t append(std::uint64_t clusters);

    Geometry geometry_;
    Header header_;
};

/// The content of an image, found by plain loops over the whole image. Tests compare `check` with
/// it. For small images only.
struct NaiveReport {
    std::uint64_t bad_l1 = 0;
    std::uint64_t bad_l2 = 0;
    std::uint64_t repeated = 0;         ///< L2 entries that name a cluster which is named already
    std::vector<std::uint64_t> leaked;  ///< whole clusters that no entry names, with data
    std::vector<std::uint64_t> free;    ///< the same, but holes
    std::uint64_t data = 0;
    std::uint64_t zero = 0;
    std::uint64_t fragmented = 0;
    /// By guest cluster: the bytes of the allocated clusters (empty: a zero cluster).
    std::map<std::uint64_t, std::vector<std::byte>> content;
    /// Guest clusters whose file cluster is part of a table that an L1 entry, valid or not, names.
    std::vector<std::uint64_t> over_tables;

    std::uint64_t corruptions() const { return bad_l1 + bad_l2 + repeated; }
    std::uint64_t leaks() const { return leaked.size(); }
};

NaiveReport naive_check(const MemoryFile& file);

}  // namespace qed::test
