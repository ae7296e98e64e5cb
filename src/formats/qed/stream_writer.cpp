// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/stream_writer.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/endian.hpp"
#include "base/math.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/table_rules.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kSliceBytes = 4096;
constexpr std::uint64_t kGrainBytes = 64U << 10U;

Result<void> check_size(std::uint64_t image_bytes, const Geometry& geometry) {
    if (image_bytes % kSectorBytes == 0 && image_bytes <= geometry.max_image_bytes()) return {};
    return fail(Errc::invalid_argument,
                fmt::format("an image of {} bytes: expected a multiple of {}, at most {} with this "
                            "cluster and table size",
                            image_bytes, kSectorBytes, geometry.max_image_bytes()));
}

}  // namespace

Result<std::unique_ptr<StreamWriter>> StreamWriter::create(BlockFile& file,
                                                           const CreateOptions& image,
                                                           std::uint64_t image_bytes,
                                                           const WriterOptions& options) {
    auto geometry = Geometry::make(image.cluster_bytes, image.table_clusters);
    if (!geometry) return fail(Errc::invalid_argument, geometry.error().message());
    QED_CHECK(check_size(image_bytes, *geometry));
    const std::string backing_name = image.backing_name != nullptr ? image.backing_name : "";
    if (backing_name.size() > kMaxBackingNameBytes) {
        return fail(Errc::invalid_argument,
                    fmt::format("the name of the backing file has {} bytes, at most {}",
                                backing_name.size(), kMaxBackingNameBytes));
    }
    Header header;
    header.cluster_bytes = image.cluster_bytes;
    header.table_clusters = image.table_clusters;
    header.image_bytes = image_bytes;
    header.l1_table_offset = FileOffset{header.header_bytes()};
    if (!backing_name.empty()) {
        header.features = feature::kBackingFile;
        if (image.backing_format == BackingFormat::raw) header.features |= feature::kBackingIsRaw;
        header.backing_name_offset = kHeaderBytes;
        header.backing_name_bytes = static_cast<std::uint32_t>(backing_name.size());
    }
    return std::unique_ptr<StreamWriter>(
        new StreamWriter(file, *geometry, header, backing_name, options.allocates_zeroes));
}

StreamWriter::StreamWriter(BlockFile& file, const Geometry& geometry, const Header& header,
                           std::string backing_name, bool allocate_zeroes)
    : file_(file),
      space_(file, true),
      geometry_(geometry),
      header_(header),
      backing_name_(std::move(backing_name)),
      allocate_zeroes_(allocate_zeroes),
      // Over a backing file a cluster is allocated as a whole or not at all. Without one, a large
      // cluster may be filled in parts: the rest of it is a hole.
      grain_(backing_name_.empty() ? std::min(geometry.cluster_bytes(), kGrainBytes)
                                   : geometry.cluster_bytes()),
      end_(header.l1_table_offset.value + geometry.table_bytes()),
      l1_(geometry.l1_entries_used(header.image_bytes)),
      slice_(std::min(kSliceBytes, geometry.table_bytes())) {}

std::size_t StreamWriter::slot_of(std::uint64_t guest) const {
    const std::uint64_t entries = slice_.size() / sizeof(std::uint64_t);
    return geometry_.cluster_index(GuestOffset{guest}) % entries;
}

std::uint64_t StreamWriter::entry(std::uint64_t guest) const {
    return load_le64(slice_, slot_of(guest));
}

/// Makes the slice that maps `guest` the current one. Calls are in guest order, so it never returns
/// to an earlier slice.
Result<void> StreamWriter::seek(std::uint64_t guest) {
    const std::uint64_t entries = slice_.size() / sizeof(std::uint64_t);
    const std::uint64_t number = geometry_.cluster_index(GuestOffset{guest}) / entries;
    if (number == slice_number_) return {};
    QED_ASSERT(number > slice_number_);
    QED_CHECK(flush_slice());
    slice_number_ = number;
    std::ranges::fill(slice_, std::byte{0});
    return {};
}

Result<void> StreamWriter::flush_slice() {
    if (!slice_dirty_) return {};
    const std::uint64_t slices_per_table = geometry_.table_bytes() / slice_.size();
    const std::uint64_t table = l1_[slice_number_ / slices_per_table];
    const FileOffset at{table + slice_number_ % slices_per_table * slice_.size()};
    QED_CHECK(file_.write(at, slice_).run_blocking());
    slice_dirty_ = false;
    return {};
}

Result<void> StreamWriter::set_entry(std::uint64_t guest, std::uint64_t entry) {
    std::uint64_t& table = l1_[geometry_.l1_index(GuestOffset{guest})];
    if (table == 0) {
        table = end_;
        end_ += geometry_.table_bytes();
    }
    store_le64(slice_, slot_of(guest), entry);
    slice_dirty_ = true;
    return {};
}

Result<SequentialWriter::Place> StreamWriter::place(std::uint64_t guest, std::uint64_t length) {
    const std::uint64_t in_cluster = geometry_.in_cluster(GuestOffset{guest});
    QED_CHECK(seek(guest));
    if (entry(guest) <= kRawZero) {
        // Reserves the table first, so that the cluster follows it.
        QED_CHECK(set_entry(guest, kRawUnallocated));
        QED_CHECK(set_entry(guest, end_));
        end_ += geometry_.cluster_bytes();
    }
    Place place{entry(guest) + in_cluster, geometry_.cluster_bytes() - in_cluster};
    while (place.length < length) {
        const std::uint64_t next = guest + place.length;
        if (l1_[geometry_.l1_index(GuestOffset{next})] == 0) break;  // a table lies in between
        QED_CHECK(seek(next));
        QED_ASSERT(entry(next) <= kRawZero);
        QED_CHECK(set_entry(next, end_));
        end_ += geometry_.cluster_bytes();
        place.length += geometry_.cluster_bytes();
    }
    place.length = std::min(place.length, length);
    return place;
}

void StreamWriter::reserve(const Place& at) noexcept {
    space_.reserve(FileOffset{at.offset}, at.length);
}

Result<void> StreamWriter::store(const Place& at, std::span<const std::byte> data) {
    return file_.write(FileOffset{at.offset}, data).run_blocking();
}

Result<void> StreamWriter::zero(std::uint64_t guest, std::uint64_t length) {
    if (allocate_zeroes_) {
        while (length > 0) {
            auto at = place(guest, length);
            if (!at) return pass(at);
            QED_CHECK(file_.allocate(FileOffset{at->offset}, at->length).run_blocking());
            guest += at->length;
            length -= at->length;
        }
        return {};
    }
    if (backing_name_.empty()) return {};
    const std::uint64_t end = guest + length;
    for (; guest < end; guest += geometry_.cluster_bytes()) {
        QED_CHECK(seek(guest));
        QED_CHECK(set_entry(guest, kRawZero));
    }
    return {};
}

Result<void> StreamWriter::skip(std::uint64_t, std::uint64_t) {
    return {};
}

Result<void> StreamWriter::finish() {
    QED_CHECK(flush_slice());
    std::vector<std::byte> table(l1_.size() * sizeof(std::uint64_t));
    for (std::size_t i = 0; i < l1_.size(); ++i)
        store_le64(table, i, l1_[i]);
    if (!table.empty()) {
        QED_CHECK(file_.write(header_.l1_table_offset, table).run_blocking());
    }
    auto size = file_.size();
    if (!size) return pass(size);
    // A table or a cluster that ends in zeroes may lie past the last byte written.
    if (*size < end_) QED_CHECK(file_.truncate(end_).run_blocking());
    // Nothing names the content of this file before the header exists.
    QED_CHECK(file_.flush().run_blocking());
    std::vector<std::byte> head(geometry_.cluster_bytes() < kSliceBytes ? geometry_.cluster_bytes()
                                                                        : kSliceBytes);
    const auto fields = encode_header(header_);
    std::ranges::copy(fields, head.begin());
    std::memcpy(head.data() + kHeaderBytes, backing_name_.data(), backing_name_.size());
    return file_.write(FileOffset{0}, head).run_blocking();
}

}  // namespace qed
