// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "image/image_core.hpp"
#include "qed/map.hpp"

// Image::map(): what a range is, through the chain, for people and for NBD block status.

namespace qed {
namespace {

MappedExtent describe(const Located& where, GuestOffset at) {
    MappedExtent extent;
    extent.start = at.value;
    extent.length = where.length;
    extent.depth = where.depth;
    extent.data = where.kind == Located::Kind::data;
    extent.zero = where.kind == Located::Kind::zero;
    extent.present = extent.data || where.found == Lookup::Kind::zero;
    if (extent.data) {
        extent.file_offset = FileOffset{where.file_offset};
        extent.file_name = where.layer->file().name();
    }
    return extent;
}

// A raw layer says "data" everywhere; its file system knows better.
Result<void> look_for_hole(const Located& where, MappedExtent& extent) {
    if (!extent.data || where.layer->geometry() != nullptr) return {};
    const auto data = where.layer->file().next_data(where.file_offset);
    if (!data) return std::unexpected(data.error().clone());
    const std::uint64_t at = where.file_offset;
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
Result<MappedExtent> extent_at(ImageCore& core, GuestOffset at, std::uint64_t length) {
    const Located where = core.locate(at, length);
    if (where.kind == Located::Kind::miss || where.kind == Located::Kind::bad) {
        // Reads the table, or says what is wrong with it.
        return sync_wait(core.map(at, length));
    }
    MappedExtent extent = describe(where, at);
    QED_CHECK(look_for_hole(where, extent));
    return extent;
}

}  // namespace

Task<Result<MappedExtent>> ImageCore::map(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_range(at, length));
    MappedExtent whole;
    whole.start = at.value;
    const RequestGate::Pass pass = enter();
    while (length != 0) {
        // A coroutine's frame costs more than a look into the cache.
        Located where = locate(at, length);
        if (where.kind == Located::Kind::miss) {
            Result<Located> loaded = co_await locate_loading(at, length);
            if (!loaded) co_return std::unexpected(std::move(loaded.error()));
            where = *loaded;
        }
        if (where.kind == Located::Kind::bad) {
            if (whole.length != 0) break;
            Result<void> failed = cannot_read(where, at);
            co_return std::unexpected(std::move(failed.error()));
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
    ImageCore& core = ImageCore::of(image);
    QED_CHECK(core.check_range(offset, length));
    const RequestGate::Pass request = core.enter();
    std::size_t count = 0;
    while (length != 0) {
        auto next = extent_at(core, offset, length);
        if (!next && count != 0) break;
        if (!next) return pass(next);
        if (count != 0 && continues(extents[count - 1], *next)) {
            extents[count - 1].length += next->length;
        } else if (count == extents.size()) {
            break;
        } else {
            extents[count++] = *next;
        }
        offset += next->length;
        length -= next->length;
    }
    return count;
}

}  // namespace qed
