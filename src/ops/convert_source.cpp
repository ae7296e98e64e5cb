// SPDX-License-Identifier: Apache-2.0
#include "ops/convert_source.hpp"

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"

namespace qed {

ConvertSource::ConvertSource(std::span<Image* const> images) {
    for (Image* const image : images) {
        parts_.push_back({image, size_, size_ + image->size()});
        size_ += image->size();
    }
}

const ConvertSource::Part& ConvertSource::part_at(std::uint64_t at) const {
    QED_ASSERT(at < size_);
    return *std::ranges::find_if(parts_, [at](const Part& part) { return at < part.end; });
}

Result<void> ConvertSource::read(std::uint64_t at, std::span<std::byte> buffer) const {
    while (!buffer.empty() && at < size_) {
        const Part& part = part_at(at);
        const std::size_t length = std::min<std::uint64_t>(buffer.size(), part.end - at);
        QED_CHECK(part.image->read_blocking(GuestOffset{at - part.begin}, buffer.first(length)));
        at += length;
        buffer = buffer.subspan(length);
    }
    if (!buffer.empty()) std::memset(buffer.data(), 0, buffer.size());
    return {};
}

namespace {

/// What the top `layers` of a chain say of a range together.
Result<Extent> extent_above(Image& top, GuestOffset at, std::uint64_t length, unsigned layers) {
    Image* layer = &top;
    for (unsigned depth = 0; depth < layers && layer != nullptr; ++depth) {
        if (at.value >= layer->size()) {
            // A layer that ends before this reads as zeroes, whatever lies below it.
            return Extent{.kind = ExtentKind::zero, .length = length};
        }
        length = std::min(length, layer->size() - at.value);
        if (layer->is_raw()) return Extent{.kind = ExtentKind::data, .length = length};
        auto extent = layer->extent_at_blocking(at, length);
        if (!extent || extent->kind != ExtentKind::unallocated) return extent;
        length = extent->length;
        layer = layer->backing();
    }
    const ExtentKind kind = layer != nullptr ? ExtentKind::unallocated : ExtentKind::zero;
    return Extent{.kind = kind, .length = length};
}

}  // namespace

Result<ConvertSource::Piece> ConvertSource::piece_at(std::uint64_t at, std::uint64_t length,
                                                     unsigned layers) const {
    const Part& part = part_at(at);
    const GuestOffset guest{at - part.begin};
    length = std::min(length, part.end - at);
    if (layers > 0) {
        auto extent = extent_above(*part.image, guest, length, layers);
        if (!extent) return pass(extent);
        if (extent->kind == ExtentKind::unallocated) {
            return Piece{.kind = Kind::unallocated, .length = extent->length};
        }
        length = extent->length;
    }
    auto mapped = part.image->map_blocking(guest, length);
    if (!mapped) return pass(mapped);
    Piece piece{.kind = Kind::data, .length = mapped->length};
    if (mapped->zero || !mapped->data) {
        piece.kind = Kind::zero;
        return piece;
    }
    Image* layer = part.image;
    for (unsigned depth = 0; depth < mapped->depth; ++depth)
        layer = layer->backing();
    piece.file = &layer->file();
    piece.file_offset = mapped->file_offset;
    return piece;
}

}  // namespace qed
