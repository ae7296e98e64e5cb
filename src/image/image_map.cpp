// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "chain/layer.hpp"
#include "qed/map.hpp"

// Image::map(): what a range is, through the chain, for people and for NBD block status.

namespace qed {
namespace {

constexpr std::size_t kMany = 16;
constexpr std::size_t kMaxFound = 128;  ///< of one find_many()

bool is_readable(const ChainMapping& where) {
    return where.mapping.kind == Mapping::Kind::data || where.reads_as_zeroes();
}

MappedExtent describe(const ChainMapping& where, GuestOffset at) {
    MappedExtent extent;
    extent.start = at.value;
    extent.length = where.mapping.length;
    extent.depth = where.depth;
    extent.data = where.mapping.kind == Mapping::Kind::data;
    extent.zero = !extent.data;
    extent.present = where.mapping.kind != Mapping::Kind::unallocated;
    if (extent.data) {
        extent.file_offset = where.mapping.offset;
        extent.file_name = where.layer->file().name();
    }
    return extent;
}

// A raw layer says "data" everywhere; its file system knows better.
Result<void> look_for_hole(const ChainMapping& where, MappedExtent& extent) {
    if (!extent.data || where.layer->geometry() != nullptr) return {};
    const std::uint64_t at = where.mapping.offset.value;
    const auto data = where.layer->file().next_data(at);
    if (!data) return std::unexpected(data.error().clone());
    if (data->begin <= at && at < data->end) {
        extent.length = std::min(extent.length, data->end - at);
        return {};
    }
    // Behind the end of the file, which need not be that of a sector, no data follows.
    if (at < data->begin) extent.length = std::min(extent.length, data->begin - at);
    extent.data = false;
    extent.zero = true;
    return {};
}

bool continues(const MappedExtent& first, const MappedExtent& next) {
    return first.data == next.data && first.zero == next.zero && first.present == next.present &&
           first.depth == next.depth && first.file_name.data() == next.file_name.data() &&
           (!first.data || first.file_offset + first.length == next.file_offset);
}

/// The extent at `at`, or its beginning.
Result<MappedExtent> extent_at(Layer& layer, GuestOffset at, std::uint64_t length) {
    const ChainMapping where = layer.locate(at, length);
    if (!is_readable(where)) {
        // Reads the table, or says what is wrong with it.
        return sync_wait(layer.map(at, length));
    }
    MappedExtent extent = describe(where, at);
    QED_CHECK(look_for_hole(where, extent));
    return extent;
}

/// Extents that follow each other, those that continue the one before merged with it.
class ExtentList {
public:
    explicit ExtentList(std::span<MappedExtent> room) : room_(room) {}

    std::size_t size() const { return count_; }
    bool is_open() const { return is_open_; }
    void close() { is_open_ = false; }
    /// Where the next extent is written before add(): a copy of what was just written bit by bit
    /// would wait for the processor to put it together.
    MappedExtent& next() { return count_ < room_.size() ? room_[count_] : without_room_; }
    /// Adds next(). \returns false, and closes the list, where there is no room
    bool add() {
        if (count_ == 0 || !continues(room_[count_ - 1], next())) return add_apart();
        room_[count_ - 1].length += next().length;
        return true;
    }
    /// The same where next() is known not to continue the last one.
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

/// What an image's own tables say where nobody below is asked.
void describe_own(const Mapping& run, GuestOffset at, std::string_view file_name,
                  MappedExtent& extent) {
    const bool is_data = run.kind == Mapping::Kind::data;
    extent.start = at.value;
    extent.length = run.length;
    extent.data = is_data;
    extent.zero = !is_data;
    extent.present = run.kind != Mapping::Kind::unallocated;
    extent.depth = 0;
    extent.file_offset = run.offset;  // 0 where there is no data
    extent.file_name = is_data ? file_name : std::string_view();
}

/// Adds the first extent of a range. \returns how many bytes it has
Result<std::uint64_t> add_one(Layer& layer, GuestOffset at, std::uint64_t length,
                              ExtentList& list) {
    auto next = extent_at(layer, at, length);
    if (next) {
        list.next() = *next;
        return list.add() ? next->length : 0;
    }
    if (list.size() == 0) return pass(next);
    list.close();
    return 0;
}

/// Adds what the layer's own tables say, many entries at a time; the layers below are asked where
/// they say nothing. \returns how many bytes were added; 0: ask for one
Result<std::uint64_t> add_many(Layer& layer, GuestOffset at, std::uint64_t length,
                               ExtentList& list) {
    const bool is_last = layer.backing() == nullptr && !layer.lacks_backing();
    std::array<Mapping, kMaxFound> room;
    const std::span runs = std::span(room).first(layer.find_many(at, length, room));
    const std::string_view file_name = layer.file().name();
    const GuestOffset begin = at;
    bool is_after_own = false;
    for (const Mapping& run : runs) {
        if (run.kind == Mapping::Kind::data || run.kind == Mapping::Kind::zero ||
            (run.kind == Mapping::Kind::unallocated && is_last)) {
            describe_own(run, at, file_name, list.next());
            // find_many() has joined what belongs together.
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

Task<Result<MappedExtent>> Layer::map(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_range(at, length));
    MappedExtent whole;
    whole.start = at.value;
    const RequestEpochs::Guard guard = enter();
    while (length != 0) {
        // A coroutine's frame costs more than a look into the cache.
        ChainMapping where = locate(at, length);
        if (!where.is_loaded()) {
            Result<ChainMapping> loaded = co_await locate_loading(at, length);
            if (!loaded) co_return std::unexpected(std::move(loaded.error()));
            where = *loaded;
        }
        if (!is_readable(where)) {
            if (whole.length != 0) break;
            co_return std::unexpected(explain_unreadable(where, at));
        }
        MappedExtent next = describe(where, at);
        QED_CO_CHECK(look_for_hole(where, next));
        if (whole.length == 0) {
            whole = next;
        } else if (continues(whole, next)) {
            whole.length += next.length;
        } else {
            break;
        }
        at += next.length;
        length -= next.length;
    }
    co_return whole;
}

Result<std::size_t> map_extents(Image& image, GuestOffset offset, std::uint64_t length,
                                std::span<MappedExtent> extents) {
    Layer& layer = Layer::of(image);
    QED_CHECK(layer.check_range(offset, length));
    const RequestEpochs::Guard request = layer.enter();
    ExtentList list(extents);
    // Who wants few extents pays for few entries.
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
