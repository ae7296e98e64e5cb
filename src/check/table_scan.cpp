// SPDX-License-Identifier: Apache-2.0
#include "check/table_scan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "check/entry_buffer.hpp"
#include "check/table_pieces.hpp"
#include "coro/when_all.hpp"

namespace qed {

namespace {

/// The ends of a part of a table, to be joined with those of the other parts.
struct Part {
    std::uint64_t table = 0;  ///< index in the list of tables
    std::uint64_t offset = 0;
    EntryEnds ends;
};

/// One pass over the tables. Its tasks run on one executor.
class Scan {
public:
    Scan(const ImageTables& image, const CheckOptions& options, EntryScan& entries)
        : image_(image),
          options_(options),
          entries_(entries),
          pieces_(image.file(), image.tables(), image.geometry().table_bytes(), true) {}

    Task<Result<void>> run();
    /// Each one once, by file offset.
    std::vector<TablePlace> take_unreadable();

private:
    Task<Result<void>> run_lane();
    Task<Result<void>> read_piece(TablePiece piece, EntryBuffer& buffer);
    Task<Result<void>> read_each_table(TablePiece piece, EntryBuffer& buffer);
    void add_piece(const TablePiece& piece, std::span<const std::uint64_t> entries);
    void join_parts();
    Result<void> check_room() const;
    bool report_progress() const {
        return options_.progress == nullptr ||
               options_.progress(options_.progress_context, pieces_.done_bytes(),
                                 pieces_.total_bytes());
    }

    const ImageTables& image_;
    const CheckOptions& options_;
    EntryScan& entries_;
    TablePieces pieces_;
    std::vector<Part> parts_;
    std::vector<TablePlace> unreadable_;
};

Task<Result<void>> Scan::run() {
    const Header& header = image_.header();
    entries_.add_table({0}, header.header_bytes());
    entries_.add_table(header.l1_table_offset, image_.geometry().table_bytes());
    for (const TablePlace& table : image_.tables())
        entries_.add_table({table.offset}, image_.geometry().table_bytes());

    unsigned lanes = std::max(1U, options_.reads_in_flight);
    auto next_lane = [&]() -> std::optional<Task<Result<void>>> {
        if (lanes == 0) return std::nullopt;
        --lanes;
        return run_lane();
    };
    QED_CO_CHECK(co_await when_all(lanes, next_lane));
    join_parts();
    co_return check_room();
}

Task<Result<void>> Scan::run_lane() {
    Result<EntryBuffer> buffer = EntryBuffer::create(image_.file(), TablePieces::kPieceBytes);
    if (!buffer) co_return pass(buffer);
    while (std::optional<TablePiece> piece = pieces_.next()) {
        QED_CO_CHECK(co_await read_piece(*piece, *buffer));
        QED_CO_CHECK(check_room());
        if (!report_progress()) co_return fail(Errc::cancelled, "the check was stopped");
    }
    co_return {};
}

Task<Result<void>> Scan::read_piece(TablePiece piece, EntryBuffer& buffer) {
    const FileOffset at{piece.offset};
    Result<void> read = co_await image_.file().read(at, buffer.bytes(piece.bytes));
    if (read) {
        add_piece(piece, buffer.swap_to_host(piece.bytes));
        co_return {};
    }
    if (read.error().code() == Errc::out_of_memory) co_return read;
    co_return co_await read_each_table(piece, buffer);
}

Task<Result<void>> Scan::read_each_table(TablePiece piece, EntryBuffer& buffer) {
    const std::uint64_t table_bytes = image_.geometry().table_bytes();
    std::uint64_t table = piece.first_table;
    for (std::uint64_t at = piece.offset; at < piece.offset + piece.bytes; ++table) {
        const std::uint64_t table_end = image_.tables()[table].offset + table_bytes;
        const std::uint64_t end = std::min(table_end, piece.offset + piece.bytes);
        const TablePiece part{at, end - at, table};
        const FileOffset part_at{at};
        Result<void> read = co_await image_.file().read(part_at, buffer.bytes(part.bytes));
        if (read) {
            add_piece(part, buffer.swap_to_host(part.bytes));
        } else {
            unreadable_.push_back(image_.tables()[table]);
        }
        at = end;
    }
    co_return {};
}

Result<void> Scan::check_room() const {
    switch (entries_.lack()) {
        case ClusterSet::Lack::none:
            return {};
        case ClusterSet::Lack::memory:
            return std::unexpected(Error::out_of_memory());
        case ClusterSet::Lack::limit:
            break;
    }
    return fail(
        Errc::unsupported,
        fmt::format("{}: the tables name clusters scattered over {} bytes of file; to note "
                    "them all takes more than the {} MiB of memory it may use",
                    image_.file().name(), image_.file_bytes(), options_.memory_limit >> 20));
}

void Scan::add_piece(const TablePiece& piece, std::span<const std::uint64_t> entries) {
    const std::uint64_t table_bytes = image_.geometry().table_bytes();
    std::uint64_t table = piece.first_table;
    for (std::uint64_t at = piece.offset; !entries.empty(); ++table) {
        const std::uint64_t begin = image_.tables()[table].offset;
        const std::uint64_t count = std::min<std::uint64_t>(
            entries.size(), (begin + table_bytes - at) / sizeof(entries[0]));
        Part part{table, at, {}};
        entries_.add(entries.first(count), part.ends);
        const bool is_whole = at == begin && count == image_.geometry().table_entries();
        if (!is_whole && part.ends.first != 0) parts_.push_back(part);
        at += count * sizeof(entries[0]);
        entries = entries.subspan(count);
    }
}

std::vector<TablePlace> Scan::take_unreadable() {
    std::ranges::sort(unreadable_, {}, &TablePlace::offset);
    const auto rest = std::ranges::unique(unreadable_, {}, &TablePlace::offset);
    unreadable_.erase(rest.begin(), rest.end());
    return std::move(unreadable_);
}

void Scan::join_parts() {
    std::ranges::sort(parts_, {}, &Part::offset);
    const std::uint64_t step = image_.geometry().cluster_bytes();
    for (std::size_t i = 1; i < parts_.size(); ++i) {
        const Part& before = parts_[i - 1];
        const Part& here = parts_[i];
        const bool is_break =
            before.table == here.table && before.ends.last + step != here.ends.first;
        if (is_break) ++entries_.totals().fragmented;
    }
}

}  // namespace

Task<Result<ScanResult>> scan_tables(const ImageTables& image, const CheckOptions& options) {
    Result<EntryScan> entries =
        EntryScan::create(image.limits(), image.geometry(), options.memory_limit);
    if (!entries) co_return pass(entries);
    Scan scan(image, options, *entries);
    QED_CO_CHECK(co_await scan.run());
    ScanResult result{std::move(*entries), scan.take_unreadable()};
    co_return std::move(result);
}

}  // namespace qed
