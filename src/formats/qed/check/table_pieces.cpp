// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/table_pieces.hpp"

#include <algorithm>

#include "base/math.hpp"

namespace qed {

namespace {

// Table offsets and sizes are multiples of it: the smallest cluster.
constexpr std::uint64_t kGrain = kMinClusterBytes;

}  // namespace

TablePieces::TablePieces(BlockFile& file, std::span<const TablePlace> tables,
                         std::uint64_t table_bytes, bool may_join)
    : file_(file), tables_(tables), table_bytes_(table_bytes), may_join_(may_join) {}

BlockFile::DataRange TablePieces::data_at(std::uint64_t at) {
    if (at < asked_at_ || at >= data_.end) {
        Result<BlockFile::DataRange> found = file_.next_data(at);
        // If the storage does not know its holes, everything is read.
        data_ = found ? *found : BlockFile::DataRange{at, at + table_bytes_};
        data_.end = std::max(data_.end, at + 1);
        asked_at_ = at;
    }
    return {std::max(at, data_.begin), data_.end};
}

std::uint64_t TablePieces::end_of_run(std::uint64_t limit) const {
    std::uint64_t last = table_;
    std::uint64_t end = tables_[last].offset + table_bytes_;
    while (may_join_ && end < limit && last + 1 < tables_.size() &&
           tables_[last + 1].offset == end) {
        ++last;
        end += table_bytes_;
    }
    return std::min(end, limit);
}

std::optional<TablePiece> TablePieces::next() {
    while (table_ < tables_.size()) {
        const std::uint64_t table_end = tables_[table_].offset + table_bytes_;
        const BlockFile::DataRange data = data_at(tables_[table_].offset + in_table_);
        const std::uint64_t begin = round_down(data.begin, kGrain);
        if (begin >= table_end) {
            ++table_;
            in_table_ = 0;
            continue;
        }
        const std::uint64_t data_end =
            std::max(begin + kGrain, checked_round_up(data.end, kGrain).value_or(table_end));
        const std::uint64_t end = end_of_run(std::min(begin + kPieceBytes, data_end));
        const TablePiece piece{begin, end - begin, table_};
        const std::uint64_t past_tables = (end - tables_[table_].offset) / table_bytes_;
        in_table_ = end - tables_[table_].offset - past_tables * table_bytes_;
        table_ += past_tables;
        return piece;
    }
    return std::nullopt;
}

}  // namespace qed
