// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/qed/table_rules.hpp"
#include "qed/block_file.hpp"
#include "qed/header.hpp"
#include "qed/task.hpp"

namespace qed {

/// A usable L2 table, and the L1 entry that names it.
struct TablePlace {
    std::uint64_t offset = 0;
    std::uint64_t l1_index = 0;
};

/// Header and L1 table of an image that is being checked, as in its file.
///
/// Memory is bounded by the L1 entries that some image size could reach: 16 MiB at most.
class ImageTables {
public:
    /// Reads both. \errors not_qed, corrupt_metadata, unsupported_feature, io_error
    static Task<Result<ImageTables>> load(BlockFile& file);

    BlockFile& file() const { return *file_; }
    const Header& header() const { return header_; }
    const Geometry& geometry() const { return geometry_; }
    std::uint64_t file_bytes() const { return file_bytes_; }
    /// The rules for entries, with the length of the file when it was loaded; l2_tables holds all
    /// usable tables.
    EntryLimits limits() const {
        return EntryLimits::make(header_, geometry_, file_bytes_, table_offsets_);
    }
    std::span<const std::uint64_t> l1_entries() const { return l1_; }
    std::span<const BadL1Entry> bad_l1_entries() const { return bad_l1_; }
    /// The usable L2 tables, by file offset; and only their offsets.
    std::span<const TablePlace> tables() const { return tables_; }
    std::span<const std::uint64_t> table_offsets() const { return table_offsets_; }
    /// The usable tables in guest order.
    std::vector<TablePlace> tables_in_guest_order() const;

    /// The offset of guest cluster `l2_index` of table `l1_index`; the highest address for clusters
    /// past 2^64.
    GuestOffset guest_offset(std::uint64_t l1_index, std::uint64_t l2_index) const;
    FileOffset l1_entry_place(std::uint64_t l1_index) const {
        return header_.l1_table_offset + l1_index * sizeof(std::uint64_t);
    }

    /// Writes `header` to the file and keeps it; does not flush.
    Task<Result<void>> write_header(Header header);
    /// Writes one L1 entry; does not flush. Does not change the lists above: call load() again.
    Task<Result<void>> write_l1_entry(std::uint64_t l1_index, std::uint64_t entry);
    /// File offsets of a usable table and of its copy.
    struct NewPlace {
        std::uint64_t from = 0;
        std::uint64_t to = 0;
    };
    /// Makes the L1 entries of the tables name their copies; does not flush.
    Task<Result<void>> rename_tables(std::span<const NewPlace> places);

private:
    ImageTables(BlockFile& file, const Header& header, const Geometry& geometry,
                std::uint64_t file_bytes)
        : file_(&file), header_(header), geometry_(geometry), file_bytes_(file_bytes) {}
    Task<Result<void>> load_l1();
    void sort_tables();

    BlockFile* file_;
    Header header_;
    Geometry geometry_;
    std::uint64_t file_bytes_;
    std::vector<std::uint64_t> l1_;
    std::vector<BadL1Entry> bad_l1_;
    std::vector<TablePlace> tables_;
    std::vector<std::uint64_t> table_offsets_;
};

}  // namespace qed
