// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/table_walk.hpp"

#include <utility>

namespace qed {

namespace {

// Owners are only used in messages, whose number is limited; a hostile image could have millions.
constexpr std::size_t kMaxOwners = 10'000;

}  // namespace

Result<TableWalk> TableWalk::create(const ImageTables& image, std::vector<TablePlace> order) {
    Result<EntryBuffer> buffer = EntryBuffer::create(image.file(), TablePieces::kPieceBytes);
    if (!buffer) return pass(buffer);
    return TableWalk(image, std::move(order), std::move(*buffer));
}

TableWalk::TableWalk(const ImageTables& image, std::vector<TablePlace> order, EntryBuffer buffer)
    : file_(&image.file()),
      table_bytes_(image.geometry().table_bytes()),
      order_(std::move(order)),
      pieces_(image.file(), order_, table_bytes_, false),
      buffer_(std::move(buffer)) {}

Task<Result<std::optional<TableWalk::Piece>>> TableWalk::next() {
    const std::optional<TablePiece> piece = pieces_.next();
    if (!piece) co_return std::optional<Piece>();
    const FileOffset at{piece->offset};
    QED_CO_CHECK(co_await file_->read(at, buffer_.bytes(piece->bytes)));
    const TablePlace& table = order_[piece->first_table];
    const std::uint64_t first_index = (piece->offset - table.offset) / sizeof(std::uint64_t);
    co_return Piece{table, first_index, buffer_.swap_to_host(piece->bytes)};
}

Task<Result<void>> TableWalk::write_back(Piece piece, std::size_t first, std::size_t last) {
    constexpr std::size_t kSectorEntries = kSectorBytes / sizeof(std::uint64_t);
    const std::size_t begin = first / kSectorEntries * kSectorEntries;
    const std::size_t end = (last / kSectorEntries + 1) * kSectorEntries;
    const FileOffset at{piece.table.offset + (piece.first_index + begin) * sizeof(std::uint64_t)};
    const std::span<const std::byte> bytes = buffer_.swap_to_file(piece.entries.size_bytes());
    const auto sectors =
        bytes.subspan(begin * sizeof(std::uint64_t), (end - begin) * sizeof(std::uint64_t));
    co_return co_await file_->write(at, sectors);
}

Result<EntryInspector> EntryInspector::create(const EntryLimits& limits, const Geometry& geometry,
                                              const ClusterSet& repeated) {
    Result<ClusterSet> seen =
        ClusterSet::create(repeated.bound(), repeated.memory_bytes());  // a subset of `repeated`
    if (!seen) return pass(seen);
    return EntryInspector(limits, geometry.cluster_bits(), repeated, std::move(*seen));
}

EntryInspector::Verdict EntryInspector::judge(std::uint64_t entry, GuestOffset guest) {
    if (entry <= kRawZero) return Verdict::good;
    if (!limits_.is_valid_cluster_offset(entry)) return Verdict::bad;
    const std::uint64_t cluster = entry >> cluster_bits_;
    if (!repeated_->contains(cluster)) return Verdict::good;
    if (limits_.in_l2_table(entry)) return Verdict::names_table;
    if (seen_.insert(cluster)) return Verdict::repeated;
    if (owners_.size() < kMaxOwners) owners_.emplace(entry, guest);
    return Verdict::good;
}

std::optional<GuestOffset> EntryInspector::first_owner(std::uint64_t entry) const {
    const auto owner = owners_.find(entry);
    if (owner == owners_.end()) return std::nullopt;
    return owner->second;
}

}  // namespace qed
