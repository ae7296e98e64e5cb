// SPDX-License-Identifier: Apache-2.0
#include "image/image_map.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "chain/chain_map.hpp"
#include "image/image_access.hpp"
#include "qed/map.hpp"

// Image::map(): ChainMapping as the public MappedExtent, for people and for NBD block status.

namespace qed {
namespace {

constexpr std::size_t kMany = 16;
constexpr std::size_t kMaxFound = 128;  ///< of one find_many()

void describe(const ChainMapping& where, GuestOffset at, MappedExtent& extent) {
    const Mapping& mapping = where.mapping;
    extent.start = at.value;
    extent.length = mapping.length;
    extent.data = mapping.is_stored();
    extent.zero = !extent.data;
    extent.compressed = mapping.kind == Mapping::Kind::encoded;
    extent.present = mapping.kind != Mapping::Kind::unallocated;
    extent.depth = where.depth;
    extent.file_offset = mapping.offset;  // 0 where there is no data
    extent.file_name = extent.data ? where.layer->file().name() : std::string_view();
}

bool continues(const MappedExtent& first, const MappedExtent& next) {
    return first.data == next.data && first.zero == next.zero && first.present == next.present &&
           first.depth == next.depth && first.file_name.data() == next.file_name.data() &&
           first.compressed == next.compressed &&
           (!first.data || first.compressed ||
            first.file_offset + first.length == next.file_offset);
}

/// Consecutive extents; an extent that continues the previous one is merged with it.
class ExtentList {
public:
    explicit ExtentList(std::span<MappedExtent> room) : room_(room) {}

    std::size_t size() const { return count_; }
    bool is_open() const { return is_open_; }
    void close() { is_open_ = false; }
    /// The memory for the next extent, written before add(). Copying an extent that was just
    /// written field by field would make the processor wait for the store buffer.
    MappedExtent& next() { return count_ < room_.size() ? room_[count_] : without_room_; }
    /// Adds next(). \returns false, and closes the list, if it is full
    bool add() {
        if (count_ == 0 || !continues(room_[count_ - 1], next())) return add_apart();
        room_[count_ - 1].length += next().length;
        return true;
    }
    /// The same if next() is known not to continue the last one.
    bool add_apart() {
        is_open_ = count_ < room_.size();
        if (is_open_) ++count_;
        return is_open_;
    }

private:
    std::span<MappedExtent> room_;
    std::size_t count_ = 0;
    bool is_open_ = true;
    MappedExtent without_room_;
};

/// Adds the first extent of a range. \returns its length in bytes
Result<std::uint64_t> add_one(Layer& layer, GuestOffset at, std::uint64_t length,
                              ExtentList& list) {
    const auto next = first_mapping(layer, at, length);
    if (next) {
        describe(*next, at, list.next());
        return list.add() ? next->mapping.length : 0;
    }
    if (list.size() == 0) return std::unexpected(next.error().clone());
    list.close();
    return 0;
}

/// Whether this is the result for the whole chain. Holes in the file of a layer are handled
/// elsewhere.
bool is_final(const Mapping& mapping, const Layer& layer) {
    const bool is_last = layer.backing() == nullptr && !layer.lacks_backing();
    return mapping.is_stored() || mapping.kind == Mapping::Kind::zero ||
           (mapping.kind == Mapping::Kind::unallocated && is_last);
}

/// Adds the extents of the layer's own tables, many entries at a time; the layers below are asked
/// for unallocated ones. \returns how many bytes were added; 0: ask for one
Result<std::uint64_t> add_many(Layer& layer, GuestOffset at, std::uint64_t length,
                               ExtentList& list) {
    std::array<Mapping, kMaxFound> room;
    const std::span runs = std::span(room).first(layer.find_many(at, length, room));
    const GuestOffset begin = at;
    bool is_after_own = false;
    for (const Mapping& run : runs) {
        if (is_final(run, layer)) {
            describe({.mapping = run, .layer = &layer, .depth = 0}, at, list.next());
            // find_many() has merged contiguous extents.
            if (is_after_own ? list.add_apart() : list.add()) at += run.length;
            is_after_own = true;
        } else {
            is_after_own = false;
            for (const GuestOffset end = at + run.length; at < end && list.is_open();) {
                auto added = add_one(layer, at, end.value - at.value, list);
                if (!added) return pass(added);
                at += *added;
            }
        }
        if (!list.is_open()) break;
    }
    return at.value - begin.value;
}

}  // namespace

Task<Result<MappedExtent>> map_first(Layer& layer, GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(layer.check_range(at, length));
    MappedExtent extent;
    extent.start = at.value;
    if (length == 0) co_return extent;
    const RequestEpochs::Guard guard = layer.enter();
    const auto where = co_await whole_mapping_async(layer, at, length);
    if (!where) co_return std::unexpected(where.error().clone());
    describe(*where, at, extent);
    co_return extent;
}

Result<std::size_t> map_extents(Image& image, GuestOffset offset, std::uint64_t length,
                                std::span<MappedExtent> extents) {
    Layer& layer = ImageAccess::layer_of(image);
    QED_CHECK(layer.check_range(offset, length));
    const RequestEpochs::Guard request = layer.enter();
    ExtentList list(extents);
    // A caller with memory for few extents pays for few entries.
    const bool wants_many = extents.size() >= kMany;
    while (length != 0 && list.is_open()) {
        auto added = wants_many ? add_many(layer, offset, length, list) : 0;
        if (added && *added == 0 && list.is_open()) added = add_one(layer, offset, length, list);
        if (!added) return pass(added);
        offset += *added;
        length -= *added;
    }
    return list.size();
}

}  // namespace qed
