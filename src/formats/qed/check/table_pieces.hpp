// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "formats/qed/check/image_tables.hpp"

namespace qed {

/// Part of one table or of several adjacent tables in the file. Both ends are at multiples of 4096
/// bytes.
struct TablePiece {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint64_t first_table = 0;  ///< index, in the given list, of the table in which it starts
};

/// Splits tables into consecutive pieces of limited size, and leaves out ranges that the storage
/// knows to be holes, whose entries are all unallocated. Not thread-safe.
class TablePieces {
public:
    static constexpr std::uint64_t kPieceBytes = std::uint64_t{256} << 10;

    /// \param tables  in any order, which the pieces follow. Kept by reference.
    /// \param may_join  whether a piece may extend from one table into the next
    TablePieces(BlockFile& file, std::span<const TablePlace> tables, std::uint64_t table_bytes,
                bool may_join);

    /// The next piece, or nothing after the last one.
    std::optional<TablePiece> next();
    /// Table bytes of the pieces returned so far, including holes; then those of all pieces.
    std::uint64_t done_bytes() const { return table_ * table_bytes_ + in_table_; }
    std::uint64_t total_bytes() const { return tables_.size() * table_bytes_; }

private:
    /// The range of data that contains `at` or follows it; starts at `at` or later.
    BlockFile::DataRange data_at(std::uint64_t at);
    std::uint64_t end_of_run(std::uint64_t limit) const;

    BlockFile& file_;
    std::span<const TablePlace> tables_;
    std::uint64_t table_bytes_;
    bool may_join_;
    std::uint64_t table_ = 0;     // the table of the next piece,
    std::uint64_t in_table_ = 0;  // and its offset in that table
    std::uint64_t asked_at_ = 1;  // data_ is valid at this offset and above
    BlockFile::DataRange data_{};
};

}  // namespace qed
