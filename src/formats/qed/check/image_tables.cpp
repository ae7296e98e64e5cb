// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/image_tables.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/assert.hpp"
#include "base/endian.hpp"

namespace qed {

namespace {

constexpr std::uint64_t kEntryBytes = sizeof(std::uint64_t);
constexpr FileOffset kFileStart{0};

}  // namespace

Task<Result<ImageTables>> ImageTables::load(BlockFile& file) {
    Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) co_return pass(file_bytes);
    std::array<std::byte, kHeaderBytes> raw{};
    QED_CO_CHECK(co_await file.read(kFileStart, raw));
    // Bytes past the end of a short file read as zeroes, and are no header.
    const std::size_t inside = std::min<std::uint64_t>(*file_bytes, raw.size());
    Result<Header> header = decode_header(std::span(raw).first(inside));
    if (!header) co_return std::unexpected(std::move(header.error()).with_context(file.name()));
    Result<Geometry> geometry = validate_header(*header, *file_bytes);
    if (!geometry) co_return std::unexpected(std::move(geometry.error()).with_context(file.name()));
    ImageTables tables(file, *header, *geometry, *file_bytes);
    QED_CO_CHECK(co_await tables.load_l1());
    co_return tables;
}

Task<Result<void>> ImageTables::load_l1() {
    constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;
    l1_.resize(l1_entries_reachable(geometry_));
    const std::span<std::byte> raw = std::as_writable_bytes(std::span(l1_));
    for (std::uint64_t done = 0; done < raw.size();) {
        const std::span piece = raw.subspan(done, std::min<std::size_t>(raw.size() - done, kPiece));
        Result<void> read = co_await file_->read(header_.l1_table_offset + done, piece);
        if (!read) {
            co_return std::unexpected(std::move(read.error()).with_context("reading the L1 table"));
        }
        done += piece.size();
    }
    for (std::size_t index = 0; index < l1_.size(); ++index)
        l1_[index] = load_le64(raw, index);
    bad_l1_ = find_bad_l1_entries(l1_, EntryLimits::make(header_, geometry_, file_bytes_));
    sort_tables();
    co_return {};
}

void ImageTables::sort_tables() {
    tables_ = tables_in_guest_order();
    std::ranges::sort(tables_, {}, &TablePlace::offset);
    table_offsets_.clear();
    table_offsets_.reserve(tables_.size());
    for (const TablePlace& table : tables_)
        table_offsets_.push_back(table.offset);
}

std::vector<TablePlace> ImageTables::tables_in_guest_order() const {
    std::vector<TablePlace> tables;
    auto bad = bad_l1_.begin();
    for (std::uint64_t index = 0; index < l1_.size(); ++index) {
        if (bad != bad_l1_.end() && bad->index == index) {
            ++bad;
        } else if (l1_[index] != kRawUnallocated) {
            tables.push_back({l1_[index], index});
        }
    }
    return tables;
}

GuestOffset ImageTables::guest_offset(std::uint64_t l1_index, std::uint64_t l2_index) const {
    constexpr std::uint64_t kEnd = std::numeric_limits<std::uint64_t>::max();
    if (l1_index > kEnd >> geometry_.table_span_bits()) return {kEnd};
    return {(l1_index << geometry_.table_span_bits()) + (l2_index << geometry_.cluster_bits())};
}

Task<Result<void>> ImageTables::write_header(Header header) {
    const std::array<std::byte, kHeaderBytes> raw = encode_header(header);
    QED_CO_CHECK(co_await file_->write(kFileStart, raw));
    header_ = header;
    co_return {};
}

Task<Result<void>> ImageTables::write_l1_entry(std::uint64_t l1_index, std::uint64_t entry) {
    std::array<std::byte, kEntryBytes> raw{};
    store_le64(raw, 0, entry);
    co_return co_await file_->write(l1_entry_place(l1_index), raw);
}

Task<Result<void>> ImageTables::rename_tables(std::span<const NewPlace> places) {
    for (const NewPlace& place : places) {
        const auto table = std::ranges::lower_bound(tables_, place.from, {}, &TablePlace::offset);
        QED_ASSERT(table != tables_.end() && table->offset == place.from);
        QED_CO_CHECK(co_await write_l1_entry(table->l1_index, place.to));
        l1_[table->l1_index] = place.to;
    }
    sort_tables();
    co_return {};
}

}  // namespace qed
