// SPDX-License-Identifier: Apache-2.0
#include "chain/chain_map.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace qed {
namespace {

bool is_readable(const ChainMapping& where) noexcept {
    return where.mapping.is_stored() || where.reads_as_zeroes();
}

// A layer that maps one to one states "data" everywhere; its file system knows the holes.
Result<void> look_for_hole(ChainMapping& where) {
    Mapping& mapping = where.mapping;
    if (mapping.kind != Mapping::Kind::data || !where.layer->has_file_holes()) return {};
    const std::uint64_t at = mapping.offset.value;
    const auto data = where.layer->file().next_data(at);
    if (!data) return std::unexpected(data.error().clone());
    if (data->begin <= at && at < data->end) {
        mapping.length = std::min(mapping.length, data->end - at);
        return {};
    }
    // Past the end of the file, which need not be that of a sector, no data follows.
    const std::uint64_t hole = at < data->begin ? data->begin - at : mapping.length;
    mapping = Mapping::without_data(Mapping::Kind::zero, std::min(mapping.length, hole));
    return {};
}

/// Adds `next` to `whole`. False: it is of another kind.
bool extend(ChainMapping& whole, const ChainMapping& next) noexcept {
    if (!continues(whole, next)) return false;
    whole.mapping.length += next.mapping.length;
    return true;
}

}  // namespace

bool continues(const ChainMapping& first, const ChainMapping& next) noexcept {
    const Mapping& one = first.mapping;
    const Mapping& other = next.mapping;
    if (one.kind != other.kind || first.depth != next.depth) return false;
    return one.kind != Mapping::Kind::data ||
           (one.storage == other.storage && one.offset + one.length == other.offset);
}

Result<ChainMapping> first_mapping(Layer& top, GuestOffset at, std::uint64_t length) {
    ChainMapping where = top.locate(at, length);
    if (!where.is_loaded()) {
        auto loaded = sync_wait(top.locate_loading(at, length));
        if (!loaded) return loaded;
        where = *loaded;
    }
    if (!is_readable(where)) return std::unexpected(Layer::explain_unreadable(where, at));
    QED_CHECK(look_for_hole(where));
    QED_ASSERT(where.mapping.length > 0 && where.mapping.length <= length);
    return where;
}

Result<ChainMapping> whole_mapping(Layer& top, GuestOffset at, std::uint64_t length) {
    auto whole = first_mapping(top, at, length);
    while (whole && whole->mapping.length < length) {
        const std::uint64_t done = whole->mapping.length;
        // The next call starts there and reports the error.
        const auto next = first_mapping(top, at + done, length - done);
        if (!next || !extend(*whole, *next)) break;
    }
    return whole;
}

Task<Result<ChainMapping>> whole_mapping_async(Layer& top, GuestOffset at, std::uint64_t length) {
    ChainMapping whole;
    for (std::uint64_t done = 0; done < length; done = whole.mapping.length) {
        // A coroutine's frame costs more than a lookup in the cache.
        ChainMapping next = top.locate(at + done, length - done);
        if (!next.is_loaded()) {
            const auto loaded = co_await top.locate_loading(at + done, length - done);
            if (!loaded) co_return std::unexpected(loaded.error().clone());
            next = *loaded;
        }
        if (!is_readable(next)) {
            if (done != 0) break;
            co_return std::unexpected(Layer::explain_unreadable(next, at));
        }
        QED_CO_CHECK(look_for_hole(next));
        if (done == 0) {
            whole = next;
        } else if (!extend(whole, next)) {
            break;
        }
    }
    co_return whole;
}

}  // namespace qed
