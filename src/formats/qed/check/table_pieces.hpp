// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "formats/qed/check/image_tables.hpp"

namespace qed {

/// Part of one or several tables that lie side by side in the file. Both ends are at multiples of
/// 4096 bytes.
struct TablePiece {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint64_t first_table = 0;  ///< index of the table it begins in, in the given list
};

/// Cuts tables into pieces of bounded size, one after another, and leaves out what the storage
/// knows to be holes: those entries are all unallocated. Not thread-safe.
class TablePieces {
public:
    static constexpr std::uint64_t kPieceBytes = std::uint64_t{256} << 10;

    /// \param tables  in any order; pieces follow it. Kept by reference.
    /// \param may_join  whether a piece may reach from one table into the next
    TablePieces(BlockFile& file, std::span<const TablePlace> tables, std::uint64_t table_bytes,
                bool may_join);

    /// The next piece, or nothing after the last one.
    std::optional<TablePiece> next();
    /// Table bytes behind the pieces handed out so far, holes included, and all of them.
    std::uint64_t done_bytes() const { return table_ * table_bytes_ + in_table_; }
    std::uint64_t total_bytes() const { return tables_.size() * table_bytes_; }

private:
    /// The range of data that `at` lies in or before; begins at `at` or later.
    BlockFile::DataRange data_at(std::uint64_t at);
    std::uint64_t end_of_run(std::uint64_t limit) const;

    BlockFile& file_;
    std::span<const TablePlace> tables_;
    std::uint64_t table_bytes_;
    bool may_join_;
    std::uint64_t table_ = 0;     // next piece starts in this one,
    std::uint64_t in_table_ = 0;  // this far
    std::uint64_t asked_at_ = 1;  // data_ is valid from here on
    BlockFile::DataRange data_{};
};

}  // namespace qed
