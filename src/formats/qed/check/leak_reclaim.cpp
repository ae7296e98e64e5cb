// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/leak_reclaim.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "formats/qed/check/cluster_copy.hpp"
#include "formats/qed/check/table_walk.hpp"

namespace qed {

namespace {

/// A data cluster, the leaked cluster it moves into, and the position of the entry that names it.
struct Move {
    std::uint64_t from = 0;  ///< cluster numbers
    std::uint64_t to = 0;
    std::uint64_t entry_at = 0;  ///< file offset; 0: not found yet
};

/// A table and its new place, as cluster numbers.
struct TableMove {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
};

class LeakReclaim {
public:
    LeakReclaim(ImageTables& image, ClusterSet& used, const CheckOptions& options,
                ClusterCopy copier)
        : image_(image), used_(used), options_(options), copier_(std::move(copier)) {}

    Task<Result<void>> run();

private:
    static constexpr std::size_t kMovesAtOnce = 262'144;  // 6 MiB of plan
    // The file may temporarily grow by this much.
    static constexpr std::uint64_t kTableBytesAtOnce = std::uint64_t{512} << 20;

    BlockFile& file() const { return image_.file(); }
    unsigned cluster_bits() const { return image_.geometry().cluster_bits(); }
    std::uint64_t table_clusters() const { return image_.geometry().table_clusters(); }
    std::uint64_t l1_cluster() const {
        return image_.header().l1_table_offset.value >> cluster_bits();
    }
    bool is_table(std::uint64_t cluster) const;
    std::uint64_t end_of_use() const { return used_.last_below(used_.bound()) + 1; }

    Task<Result<void>> move_data();
    std::vector<Move> plan_moves() const;
    Task<Result<void>> find_entries(std::vector<Move>& moves);
    Task<Result<void>> copy_clusters(std::span<const Move> moves);
    Task<Result<void>> rewrite_entries(std::span<const Move> moves);

    Task<Result<void>> move_tables();
    std::vector<TableMove> plan_table_moves(std::uint64_t hole) const;
    Task<Result<void>> move_together(std::span<const TableMove> moves);
    Task<Result<void>> name_new_places(std::span<const TableMove> moves);
    Task<Result<void>> cut_file();

    ImageTables& image_;
    ClusterSet& used_;
    const CheckOptions& options_;
    ClusterCopy copier_;
};

Task<Result<void>> LeakReclaim::run() {
    QED_CO_CHECK(co_await move_data());
    QED_CO_CHECK(co_await move_tables());
    co_return co_await cut_file();
}

bool LeakReclaim::is_table(std::uint64_t cluster) const {
    const std::uint64_t offset = cluster << cluster_bits();
    return image_.limits().in_l2_table(offset) || cluster - l1_cluster() < table_clusters();
}

// --- Data clusters: the last ones of the file fill the first leaked ones.

Task<Result<void>> LeakReclaim::move_data() {
    while (true) {
        std::vector<Move> moves = plan_moves();
        if (moves.empty()) co_return {};
        QED_CO_CHECK(co_await find_entries(moves));
        QED_CO_CHECK(co_await copy_clusters(moves));
        QED_CO_CHECK(co_await file().flush());
        QED_CO_CHECK(co_await rewrite_entries(moves));
        QED_CO_CHECK(co_await file().flush());
        for (const Move& move : moves) {
            used_.insert(move.to);
            used_.erase(move.from);
        }
    }
}

std::vector<Move> LeakReclaim::plan_moves() const {
    std::vector<Move> moves;
    std::uint64_t hole = used_.next_absent(0);
    std::uint64_t from = used_.last_below(used_.bound());
    while (moves.size() < kMovesAtOnce) {
        while (from != used_.bound() && is_table(from))
            from = used_.last_below(from);
        if (from == used_.bound() || hole >= from) break;
        moves.push_back({.from = from, .to = hole});
        hole = used_.next_absent(hole + 1);
        from = used_.last_below(from);
    }
    // Consecutive clusters stay consecutive.
    const std::size_t count = moves.size();
    for (std::size_t i = 0; i < count / 2; ++i)
        std::swap(moves[i].from, moves[count - 1 - i].from);
    return moves;
}

Task<Result<void>> LeakReclaim::find_entries(std::vector<Move>& moves) {
    const std::uint64_t lowest = moves.front().from << cluster_bits();
    const std::vector<TablePlace> order(image_.tables().begin(), image_.tables().end());
    Result<TableWalk> walk = TableWalk::create(image_, order);
    if (!walk) co_return pass(walk);
    std::size_t found = 0;
    while (found < moves.size()) {
        Result<std::optional<TableWalk::Piece>> read = co_await walk->next();
        if (!read) co_return pass(read);
        if (!*read) break;
        const TableWalk::Piece& piece = **read;
        for (std::size_t i = 0; i < piece.entries.size(); ++i) {
            if (piece.entries[i] < lowest) continue;
            const auto move = std::ranges::lower_bound(moves, piece.entries[i] >> cluster_bits(),
                                                       {}, &Move::from);
            if (move == moves.end() || move->from << cluster_bits() != piece.entries[i]) continue;
            if (move->entry_at == 0) ++found;
            move->entry_at = piece.table.offset + (piece.first_index + i) * sizeof(std::uint64_t);
        }
    }
    if (found == moves.size()) co_return {};
    co_return fail(Errc::io_error,
                   fmt::format("{}: the L2 tables have changed since they were checked: is another "
                               "program writing to the image?",
                               file().name()));
}

Task<Result<void>> LeakReclaim::copy_clusters(std::span<const Move> moves) {
    for (std::size_t begin = 0; begin < moves.size();) {
        std::size_t end = begin + 1;
        while (end < moves.size() && moves[end].from == moves[end - 1].from + 1 &&
               moves[end].to == moves[end - 1].to + 1)
            ++end;
        const FileOffset from{moves[begin].from << cluster_bits()};
        const FileOffset to{moves[begin].to << cluster_bits()};
        Result<bool> copied = co_await copier_.copy(from, to, (end - begin) << cluster_bits());
        if (!copied) co_return pass(copied);
        if (!*copied) {
            co_return fail(Errc::io_error,
                           fmt::format("{}: clusters in {:#x} to {:#x} cannot be read, so they "
                                       "cannot be moved; leaked clusters were not reclaimed",
                                       file().name(), from.value,
                                       from.value + ((end - begin) << cluster_bits())));
        }
        begin = end;
        QED_CO_CHECK(options_.progress.report(begin, moves.size(), "leaked clusters remain"));
    }
    co_return {};
}

Task<Result<void>> LeakReclaim::rewrite_entries(std::span<const Move> moves) {
    constexpr std::uint64_t kBlock = kMinClusterBytes;  // lies inside one table
    std::vector<Move> by_place(moves.begin(), moves.end());
    std::ranges::sort(by_place, {}, &Move::entry_at);
    Result<EntryBuffer> buffer = EntryBuffer::create(file(), kBlock);
    if (!buffer) co_return pass(buffer);
    for (std::size_t i = 0; i < by_place.size();) {
        const FileOffset block{by_place[i].entry_at / kBlock * kBlock};
        QED_CO_CHECK(co_await file().read(block, buffer->bytes()));
        const std::span<std::uint64_t> entries = buffer->swap_to_host(kBlock);
        for (; i < by_place.size() && by_place[i].entry_at - block.value < kBlock; ++i) {
            entries[(by_place[i].entry_at - block.value) / sizeof(std::uint64_t)] =
                by_place[i].to << cluster_bits();
        }
        const std::span<const std::byte> changed = buffer->swap_to_file(kBlock);
        QED_CO_CHECK(co_await file().write(block, changed));
    }
    co_return {};
}

// --- Tables: after the first leaked cluster there are only tables and other leaked clusters now.

Task<Result<void>> LeakReclaim::move_tables() {
    while (true) {
        const std::uint64_t hole = used_.next_absent(0);
        if (hole >= end_of_use()) co_return {};
        const std::vector<TableMove> moves = plan_table_moves(hole);
        QED_CO_CHECK(co_await move_together(moves));
    }
}

// Many tables share two flushes: there may be a million of them. The L1 table moves alone.
std::vector<TableMove> LeakReclaim::plan_table_moves(std::uint64_t hole) const {
    const std::uint64_t size = table_clusters();
    const std::uint64_t most = std::clamp<std::uint64_t>(
        kTableBytesAtOnce / image_.geometry().table_bytes(), 1, kMaxTablesMovedAtOnce);
    std::vector<TableMove> moves;
    const auto add = [&](std::uint64_t from, std::uint64_t to) {
        if (!moves.empty() && from == l1_cluster()) return false;
        moves.push_back({.from = from, .to = to});
        return moves.size() < most && from != l1_cluster();
    };
    const std::uint64_t end = end_of_use();
    std::uint64_t hole_end = hole;
    while (!used_.contains(hole_end))
        ++hole_end;
    if (hole_end - hole >= size) {
        // The last tables of the file fit into the hole.
        std::uint64_t last_end = end;
        while (hole_end - hole >= size && last_end > hole_end && add(last_end - size, hole)) {
            hole += size;
            last_end = used_.last_below(last_end - size) + 1;
        }
    } else {
        // No table fits: the tables after the hole move away, and return later.
        std::uint64_t to = end;
        for (std::uint64_t from = hole_end; from < end && used_.contains(from); from += size) {
            if (!add(from, to)) break;
            to += size;
        }
    }
    return moves;
}

Task<Result<void>> LeakReclaim::move_together(std::span<const TableMove> moves) {
    for (const TableMove& move : moves) {
        const FileOffset old_place{move.from << cluster_bits()};
        const FileOffset new_place{move.to << cluster_bits()};
        Result<bool> copied =
            co_await copier_.copy(old_place, new_place, image_.geometry().table_bytes());
        if (!copied) co_return pass(copied);
        if (!*copied) {
            co_return fail(
                Errc::io_error,
                fmt::format("{}: the table at {:#x} cannot be read, so it cannot be moved",
                            file().name(), old_place.value));
        }
    }
    QED_CO_CHECK(co_await file().flush());
    QED_CO_CHECK(co_await name_new_places(moves));
    QED_CO_CHECK(co_await file().flush());
    for (const TableMove& move : moves) {
        for (std::uint64_t i = 0; i < table_clusters(); ++i) {
            used_.erase(move.from + i);
            used_.insert(move.to + i);
        }
    }
    co_return {};
}

Task<Result<void>> LeakReclaim::name_new_places(std::span<const TableMove> moves) {
    if (moves.front().from == l1_cluster()) {
        Header header = image_.header();
        header.l1_table_offset = {moves.front().to << cluster_bits()};
        co_return co_await image_.write_header(header);
    }
    std::vector<ImageTables::NewPlace> places;
    places.reserve(moves.size());
    for (const TableMove& move : moves) {
        places.push_back({.from = move.from << cluster_bits(), .to = move.to << cluster_bits()});
    }
    co_return co_await image_.rename_tables(places);
}

Task<Result<void>> LeakReclaim::cut_file() {
    Result<std::uint64_t> bytes = file().size();
    if (!bytes) co_return pass(bytes);
    const std::uint64_t end = end_of_use() << cluster_bits();
    if (*bytes <= end) co_return {};
    QED_CO_CHECK(co_await file().truncate(end));
    co_return co_await file().flush();
}

}  // namespace

Task<Result<void>> reclaim_leaks(ImageTables& image, ClusterSet& used,
                                 const CheckOptions& options) {
    Result<ClusterCopy> copier = ClusterCopy::create(image.file());
    if (!copier) co_return pass(copier);
    LeakReclaim reclaim(image, used, options, std::move(*copier));
    co_return co_await reclaim.run();
}

}  // namespace qed
