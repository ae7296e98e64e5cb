// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/disk_view.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace qed {
namespace {

/// What the top `layers` say of a range together.
Result<Mapping> extent_above(Image& top, GuestOffset at, std::uint64_t length, unsigned layers) {
    Image* layer = &top;
    for (unsigned depth = 0; depth < layers; ++depth) {
        if (at.value >= layer->size()) {
            // A layer that ends before this reads as zeroes, whatever lies below it.
            return Mapping::without_data(Mapping::Kind::zero, length);
        }
        length = std::min(length, layer->size() - at.value);
        if (layer->is_raw()) return Mapping::in_place(FileOffset{at.value}, length);
        auto extent = layer->extent_at_blocking(at, length);
        if (!extent || extent->kind != Mapping::Kind::unallocated) return extent;
        length = extent->length;
        if (!layer->header().has_backing()) {
            return Mapping::without_data(Mapping::Kind::zero, length);
        }
        if (layer->backing() == nullptr) break;
        layer = layer->backing();
    }
    return Mapping::without_data(Mapping::Kind::unallocated, length);
}

bool is_same_file(const BlockFile& a, const BlockFile& b) {
    if (&a == &b) return true;
    const int one_file = a.descriptor();
    const int other_file = b.descriptor();
    if (one_file < 0 || other_file < 0) return false;  // not files of this machine
    struct stat one{};
    struct stat other{};
    if (fstat(one_file, &one) != 0 || fstat(other_file, &other) != 0) return false;
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino && one.st_rdev == other.st_rdev;
}

}  // namespace

Result<DiskPiece> disk_piece(Image& image, std::uint64_t at, std::uint64_t length) {
    if (at >= image.size()) return DiskPiece{.kind = DiskPiece::Kind::zero, .length = length};
    auto mapped = image.map_blocking(GuestOffset{at}, std::min(length, image.size() - at));
    if (!mapped) return pass(mapped);
    DiskPiece piece{
        .kind = DiskPiece::Kind::data, .length = mapped->length, .present = mapped->present};
    if (mapped->zero || !mapped->data) {
        piece.kind = DiskPiece::Kind::zero;
        return piece;
    }
    Image* layer = &image;
    for (unsigned depth = 0; depth < mapped->depth; ++depth)
        layer = layer->backing();
    piece.file = &layer->file();
    piece.file_offset = mapped->file_offset;
    return piece;
}

Result<DiskPiece> top_piece(Image& image, std::uint64_t at, std::uint64_t length, unsigned layers) {
    auto extent = extent_above(image, GuestOffset{at}, length, layers);
    if (!extent) return pass(extent);
    if (extent->kind == Mapping::Kind::unallocated) {
        return DiskPiece{.kind = DiskPiece::Kind::unallocated, .length = extent->length};
    }
    if (extent->kind == Mapping::Kind::zero) {
        return DiskPiece{.kind = DiskPiece::Kind::zero, .length = extent->length};
    }
    return disk_piece(image, at, extent->length);
}

Result<void> read_padded(Image& image, std::uint64_t at, std::span<std::byte> buffer) {
    const std::uint64_t inside =
        at < image.size() ? std::min<std::uint64_t>(buffer.size(), image.size() - at) : 0;
    if (inside < buffer.size()) std::memset(buffer.data() + inside, 0, buffer.size() - inside);
    if (inside == 0) return {};
    return image.read_blocking(GuestOffset{at}, buffer.first(inside));
}

bool SamePlace::operator()(const DiskPiece& a, const DiskPiece& b) {
    if (a.file == nullptr || b.file == nullptr || a.file_offset != b.file_offset) return false;
    if (a.file != one_ || b.file != other_) {
        same_file_ = is_same_file(*a.file, *b.file);
        one_ = a.file;
        other_ = b.file;
    }
    return same_file_;
}

}  // namespace qed
