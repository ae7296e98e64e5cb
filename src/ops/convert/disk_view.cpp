// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/disk_view.hpp"

#include <algorithm>
#include <cstring>

#include "chain/chain_map.hpp"
#include "image/image_access.hpp"

namespace qed {
namespace {

/// The common mapping of a range in the top `layers`.
Result<Mapping> mapping_above(Layer& top, GuestOffset at, std::uint64_t length, unsigned layers) {
    Layer* layer = &top;
    for (unsigned depth = 0; depth < layers; ++depth) {
        if (at.value >= layer->size()) {
            // A layer that ends before this range reads as zeroes, whatever the layers below hold.
            return Mapping::without_data(Mapping::Kind::zero, length);
        }
        length = std::min(length, layer->size() - at.value);
        auto mapping = sync_wait(layer->mapping_at(at, length));
        if (!mapping || mapping->kind != Mapping::Kind::unallocated) return mapping;
        length = mapping->length;
        if (layer->backing() == nullptr) {
            if (layer->lacks_backing()) break;
            return Mapping::without_data(Mapping::Kind::zero, length);
        }
        layer = layer->backing().get();
    }
    return Mapping::without_data(Mapping::Kind::unallocated, length);
}

bool is_same_file(const BlockFile& a, const BlockFile& b) {
    if (&a == &b) return true;
    const auto one = a.identity();
    return one && one == b.identity();
}

}  // namespace

Result<ChainMapping> disk_mapping(Image& image, std::uint64_t at, std::uint64_t length) {
    Layer& top = ImageAccess::layer_of(image);
    if (at >= top.size()) {
        return ChainMapping{.mapping = Mapping::without_data(Mapping::Kind::unallocated, length)};
    }
    const RequestEpochs::Guard request = top.enter();
    return whole_mapping(top, GuestOffset{at}, std::min(length, top.size() - at));
}

Result<ChainMapping> top_mapping(Image& image, std::uint64_t at, std::uint64_t length,
                                 unsigned layers) {
    const auto above = mapping_above(ImageAccess::layer_of(image), GuestOffset{at}, length, layers);
    if (!above) return std::unexpected(above.error().clone());
    if (above->is_stored()) return disk_mapping(image, at, above->length);
    return ChainMapping{.mapping = *above};
}

Result<void> read_padded(Image& image, std::uint64_t at, std::span<std::byte> buffer) {
    const std::uint64_t inside =
        at < image.size() ? std::min<std::uint64_t>(buffer.size(), image.size() - at) : 0;
    if (inside < buffer.size()) std::memset(buffer.data() + inside, 0, buffer.size() - inside);
    if (inside == 0) return {};
    return image.read_blocking(GuestOffset{at}, buffer.first(inside));
}

bool SamePlace::operator()(const ChainMapping& a, const ChainMapping& b) {
    BlockFile* const one = file_of(a);
    BlockFile* const other = file_of(b);
    if (one == nullptr || other == nullptr) return false;
    if (a.mapping.storage != b.mapping.storage || a.mapping.offset != b.mapping.offset)
        return false;
    if (one != one_ || other != other_) {
        same_file_ = is_same_file(*one, *other);
        one_ = one;
        other_ = other;
    }
    return same_file_;
}

}  // namespace qed
