// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "formats/qed/check/entry_buffer.hpp"
#include "formats/qed/check/entry_scan.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "formats/qed/check/table_pieces.hpp"
#include "qed/task.hpp"

namespace qed {

/// Reads tables in pieces, one at a time, for work on single entries.
class TableWalk {
public:
    /// A part of one table in memory. The entries may be changed; write_back() stores them.
    struct Piece {
        TablePlace table;
        std::uint64_t first_index = 0;  ///< of entries[0] in its table
        std::span<std::uint64_t> entries;

        L2EntryPlace place(const ImageTables& image, std::size_t i) const {
            const std::uint64_t index = first_index + i;
            return {{table.offset}, index, image.guest_offset(table.l1_index, index)};
        }
    };

    /// \param order  the tables to visit, in this order
    /// \errors out_of_memory
    static Result<TableWalk> create(const ImageTables& image, std::vector<TablePlace> order);

    /// The next piece, valid until the next call; nothing after the last one.
    /// \errors io_error: the piece is skipped, and the walk can continue
    Task<Result<std::optional<Piece>>> next();
    /// Writes the sectors of `piece` that hold its entries `first` to `last`; does not flush.
    /// The entries cannot be used afterwards.
    Task<Result<void>> write_back(Piece piece, std::size_t first, std::size_t last);

private:
    TableWalk(const ImageTables& image, std::vector<TablePlace> order, EntryBuffer buffer);

    BlockFile* file_;
    std::uint64_t table_bytes_;
    std::vector<TablePlace> order_;  // pieces_ refers to it; moving a vector keeps its elements
    TablePieces pieces_;
    EntryBuffer buffer_;
};

/// Finds the faults of entries that are visited in guest order.
class EntryInspector {
public:
    enum class Verdict : std::uint8_t {
        good,
        bad,          ///< names no usable cluster
        names_table,  ///< names a cluster of an L2 table
        repeated,     ///< names a data cluster that an earlier entry named
    };

    /// \param limits  the rules, with the usable tables
    /// \param repeated  the clusters that are named more than once; both kept by reference
    /// \errors unsupported, out_of_memory
    static Result<EntryInspector> create(const EntryLimits& limits, const Geometry& geometry,
                                         const ClusterSet& repeated);

    /// Remembers the first entry that names a cluster, so call this once for each entry.
    Verdict judge(std::uint64_t entry, GuestOffset guest);
    /// The guest cluster of the first entry that names `entry`, if it was remembered.
    std::optional<GuestOffset> first_owner(std::uint64_t entry) const;

private:
    EntryInspector(const EntryLimits& limits, unsigned cluster_bits, const ClusterSet& repeated,
                   ClusterSet seen)
        : limits_(limits),
          cluster_bits_(cluster_bits),
          repeated_(&repeated),
          seen_(std::move(seen)) {}

    EntryLimits limits_;
    unsigned cluster_bits_;
    const ClusterSet* repeated_;
    ClusterSet seen_;
    std::unordered_map<std::uint64_t, GuestOffset> owners_;  // by entry
};

}  // namespace qed
