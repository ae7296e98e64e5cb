// SPDX-License-Identifier: Apache-2.0
#include "cli/reports/table_dump.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace qed::cli {
namespace {

constexpr std::uint64_t kEntryBytes = 8;
constexpr std::uint64_t kPieceBytes = 1U << 20U;
constexpr std::uint64_t kZeroEntry = 1;

std::uint64_t little_endian(const std::byte* bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return std::endian::native == std::endian::big ? std::byteswap(value) : value;
}

bool continues(const EntryRun& run, EntryRun::Kind kind, std::uint64_t entry,
               std::uint64_t cluster_bytes) {
    if (run.count == 0 || run.kind != kind) return false;
    if (kind == EntryRun::Kind::bad) return false;
    return kind != EntryRun::Kind::data || entry == run.offset + run.count * cluster_bytes;
}

}  // namespace

std::string_view to_string(EntryRun::Kind kind) {
    switch (kind) {
        case EntryRun::Kind::unallocated:
            return "unallocated";
        case EntryRun::Kind::zero:
            return "zero";
        case EntryRun::Kind::data:
            return "data";
        case EntryRun::Kind::bad:
            return "bad";
    }
    return "bad";
}

EntryRun::Kind TableDump::kind_of(std::uint64_t entry) const {
    if (entry == 0) return EntryRun::Kind::unallocated;
    if (entry == kZeroEntry) return EntryRun::Kind::zero;
    const bool is_valid_cluster_offset = geometry_.is_cluster_aligned(entry) &&
                                         entry >= header_.header_bytes() && entry < file_bytes_;
    return is_valid_cluster_offset ? EntryRun::Kind::data : EntryRun::Kind::bad;
}

Result<void> TableDump::for_each_entry(
    std::uint64_t table, const std::function<void(std::uint64_t, std::uint64_t)>& visit) {
    if (table >= file_bytes_) return {};
    const std::uint64_t bytes = std::min(geometry_.table_bytes(), file_bytes_ - table);
    std::vector<std::byte> piece(std::min(kPieceBytes, bytes));
    for (std::uint64_t at = 0; at < bytes; at += piece.size()) {
        const auto part = std::span(piece).first(std::min<std::uint64_t>(piece.size(), bytes - at));
        QED_CHECK(file_.read(FileOffset{table + at}, part).run_blocking());
        for (std::uint64_t i = 0; i + kEntryBytes <= part.size(); i += kEntryBytes) {
            visit((at + i) / kEntryBytes, little_endian(part.data() + i));
        }
    }
    return {};
}

Result<std::vector<TableDump::L1Entry>> TableDump::l1_entries() {
    std::vector<L1Entry> entries;
    auto done = for_each_entry(
        header_.l1_table_offset.value, [&](std::uint64_t index, std::uint64_t entry) {
            if (entry == 0) return;
            const bool inside = kind_of(entry) == EntryRun::Kind::data &&
                                file_bytes_ - entry >= geometry_.table_bytes();
            entries.push_back({index, entry, inside});
        });
    if (!done) return pass(done);
    return entries;
}

Result<void> TableDump::l2_runs(std::uint64_t table,
                                const std::function<void(const EntryRun&)>& visit) {
    EntryRun run;
    auto done = for_each_entry(table, [&](std::uint64_t index, std::uint64_t entry) {
        const EntryRun::Kind kind = kind_of(entry);
        if (continues(run, kind, entry, geometry_.cluster_bytes())) {
            ++run.count;
            return;
        }
        if (run.count > 0) visit(run);
        run = {index, 1, kind, entry};
    });
    if (run.count > 0) visit(run);
    return done;
}

}  // namespace qed::cli
