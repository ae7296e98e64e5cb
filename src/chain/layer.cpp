// SPDX-License-Identifier: Apache-2.0
#include "chain/layer.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/assert.hpp"

namespace qed {

Layer::Layer(std::unique_ptr<BlockFile> file, std::shared_ptr<Layer> backing, LayerTraits traits)
    : file_(std::move(file)),
      backing_(std::move(backing)),
      bytes_(traits.bytes),
      format_(traits.format),
      cluster_bytes_(traits.cluster_bytes),
      is_writable_(traits.is_writable),
      has_file_holes_(traits.has_file_holes),
      lacks_backing_(!traits.backing.name.empty() && backing_ == nullptr),
      is_dirty_(traits.is_dirty),
      properties_(std::move(traits.properties)),
      reference_(std::move(traits.backing)) {
    if (backing_ == nullptr) return;
    below_.push_back(backing_.get());
    below_.insert(below_.end(), backing_->below_.begin(), backing_->below_.end());
}

Layer::~Layer() = default;

LayerInfo Layer::info() const {
    const ScopedLock lock(reference_mutex_);
    return {.format = format_,
            .cluster_bytes = cluster_bytes_,
            .backing = reference_,
            .is_dirty = is_dirty_,
            .properties = properties_};
}

void Layer::set_backing_reference(BackingReference backing) {
    const ScopedLock lock(reference_mutex_);
    reference_ = std::move(backing);
}

Stats Layer::stats() const {
    Stats stats;
    stats.reads = counters_.sum(ImageCounter::reads);
    stats.read_bytes = counters_.sum(ImageCounter::read_bytes);
    stats.writes = counters_.sum(ImageCounter::writes);
    stats.write_bytes = counters_.sum(ImageCounter::write_bytes);
    stats.zeroes = counters_.sum(ImageCounter::zeroes);
    stats.discards = counters_.sum(ImageCounter::discards);
    stats.flushes = counters_.sum(ImageCounter::flushes);
    stats.mapped_bytes = file_->mapped_bytes();
    for (const Layer* layer : below_)
        stats.mapped_bytes += layer->file().mapped_bytes();
    add_to(stats);
    return stats;
}

// --- Defaults of functions that a format may leave out -------------------------------------------

std::unexpected<Error> Layer::unsupported(const char* what) const {
    return fail(Errc::unsupported,
                fmt::format("{}: an image of format {} {}", file_->name(), format_, what));
}

std::size_t Layer::find_many(GuestOffset, std::uint64_t, std::span<Mapping>) noexcept {
    return 0;
}

Task<Result<Mapping>> Layer::load(GuestOffset at, std::uint64_t length) {
    co_return find(at, length);
}

Task<Result<void>> Layer::read_encoded(GuestOffset, std::span<std::byte>) {
    co_return unsupported("has no encoded data");
}

Error Layer::explain(GuestOffset at) {
    return {Errc::corrupt_metadata,
            fmt::format("{}: guest offset {:#x} cannot be read", file_->name(), at.value)};
}

Result<void> Layer::try_write_in_place(GuestOffset, std::span<const std::byte>, Mapping&) {
    return {};
}

Task<Result<void>> Layer::write(GuestOffset, std::span<const std::byte>, WriteFlags, Mapping) {
    co_return unsupported("cannot be written to");
}

Task<Result<void>> Layer::write_zeroes(GuestOffset, std::uint64_t, WriteFlags) {
    co_return unsupported("cannot be written to");
}

Task<Result<void>> Layer::discard(GuestOffset, std::uint64_t) {
    co_return unsupported("cannot be written to");
}

Task<Result<void>> Layer::flush() {
    co_return {};
}

Task<Result<void>> Layer::resize(std::uint64_t, bool) {
    co_return unsupported("cannot be resized");
}

Task<Result<void>> Layer::set_backing(BackingReference) {
    co_return unsupported("cannot be given another backing file");
}

Task<Result<void>> Layer::quiesce(bool) {
    co_return {};
}
Task<Result<CompactStep>> Layer::compact_step(std::uint64_t bytes) {
    if (compaction_ == nullptr) co_return unsupported("cannot be compacted");
    co_return co_await compaction_->compact(bytes);
}
Task<Result<SortStep>> Layer::sort_step(std::uint64_t bytes) {
    if (compaction_ == nullptr) co_return unsupported("cannot be sorted");
    co_return co_await compaction_->sort(bytes);
}

// --- Through the chain --------------------------------------------------------------------------

Result<void> Layer::check_range(GuestOffset at, std::uint64_t length) const {
    if (contains(at, length)) return {};
    return fail(Errc::out_of_range,
                fmt::format("{}: {} bytes at {} reach past the end of the virtual disk ({} bytes)",
                            file().name(), length, at.value, size()));
}

ChainMapping Layer::locate(GuestOffset at, std::uint64_t length) noexcept {
    ChainMapping where{.mapping = {}, .layer = this};
    for (;;) {
        Layer& layer = *where.layer;
        const std::uint64_t end = layer.size();
        if (at.value >= end) {
            where.mapping = Mapping::without_data(Mapping::Kind::unallocated, length);
            where.layer = nullptr;
            return where;
        }
        length = std::min(length, end - at.value);
        where.mapping = layer.find(at, length);
        if (where.mapping.kind != Mapping::Kind::unallocated) {
            if (!where.is_loaded()) where.mapping.length = length;
            return where;
        }
        if (layer.backing_ == nullptr) return where;
        const ChainIndex::Jump jump = layer.index_.from(at, where.mapping.length);
        QED_ASSERT(jump.steps <= layer.below_.size());
        length = jump.length;
        where.depth += jump.steps;
        where.layer = layer.below_[jump.steps - 1];
    }
}

Task<Result<ChainMapping>> Layer::locate_loading(GuestOffset at, std::uint64_t length) {
    ChainMapping where = locate(at, length);
    while (!where.is_loaded()) {
        Layer& layer = *where.layer;
        Result<Mapping> loaded = co_await layer.load(at, where.mapping.length);
        if (!loaded) co_return pass(loaded);
        QED_ASSERT(loaded->kind != Mapping::Kind::not_loaded);
        QED_ASSERT(loaded->length > 0 && loaded->length <= where.mapping.length);
        if (loaded->kind == Mapping::Kind::unallocated && layer.backing_ != nullptr) {
            // Continue with the next layer: asking this one again could miss again.
            const unsigned depth = where.depth + 1;
            where = layer.backing_->locate(at, loaded->length);
            where.depth += depth;
        } else {
            where.mapping = *loaded;
        }
    }
    QED_ASSERT(where.depth <= depth());
    co_return where;
}

Task<Result<Mapping>> Layer::mapping_at(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_range(at, length));
    if (length == 0) co_return Mapping::without_data(Mapping::Kind::unallocated, 0);
    Mapping found = find(at, length);
    if (found.kind == Mapping::Kind::not_loaded) {
        Result<Mapping> loaded = co_await load(at, length);
        if (!loaded) co_return pass(loaded);
        found = *loaded;
    }
    if (found.kind == Mapping::Kind::corrupt) co_return std::unexpected(explain(at));
    co_return found;
}

Error Layer::explain_unreadable(const ChainMapping& where, GuestOffset at) {
    if (where.mapping.kind != Mapping::Kind::unallocated) return where.layer->explain(at);
    return {Errc::backing_refused,
            fmt::format("{}: the clusters at {} are in the backing file '{}', which was not "
                        "opened",
                        where.layer->file().name(), at.value, where.layer->backing_name())};
}

// Reads ranges that memory knows and files store unchanged, without a coroutine. The first range
// that needs more ends the loop, and read_range() reads the rest.
Result<void> Layer::read_blocking(GuestOffset at, std::span<std::byte> buffer) {
    QED_CHECK(check_range(at, buffer.size()));
    const RequestEpochs::Guard guard = enter();
    count_read(buffer.size());
    while (!buffer.empty()) {
        const ChainMapping where = locate(at, buffer.size());
        QED_ASSERT(where.mapping.length > 0 && where.mapping.length <= buffer.size());
        const auto part = buffer.first(where.mapping.length);
        if (where.mapping.kind == Mapping::Kind::data) {
            QED_CHECK(where.layer->file().read(where.mapping.offset, part).run_blocking());
        } else if (where.reads_as_zeroes()) {
            std::memset(part.data(), 0, part.size());
        } else {
            return sync_wait(read_range(at, buffer, false));
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    return {};
}

Task<Result<void>> Layer::read(GuestOffset at, std::span<std::byte> buffer) {
    return read_range(at, buffer, true);
}

/// \param is_request  of the guest, to be checked and counted; otherwise that was done already
Task<Result<void>> Layer::read_range(GuestOffset at, std::span<std::byte> buffer, bool is_request) {
    if (is_request) {
        QED_CO_CHECK(check_range(at, buffer.size()));
        count_read(buffer.size());
    }
    const RequestEpochs::Guard guard = enter();
    while (!buffer.empty()) {
        // A coroutine's frame costs more than a lookup in the cache.
        ChainMapping where = locate(at, buffer.size());
        if (!where.is_loaded()) {
            const Result<ChainMapping> loaded = co_await locate_loading(at, buffer.size());
            if (!loaded) co_return std::unexpected(loaded.error().clone());
            where = *loaded;
        }
        QED_ASSERT(where.mapping.length > 0 && where.mapping.length <= buffer.size());
        const auto part = buffer.first(where.mapping.length);
        if (where.mapping.kind == Mapping::Kind::data) {
            QED_CO_CHECK(co_await where.layer->file().read(where.mapping.offset, part));
        } else if (where.reads_as_zeroes()) {
            std::memset(part.data(), 0, part.size());
        } else if (where.mapping.kind == Mapping::Kind::encoded) {
            QED_CO_CHECK(co_await where.layer->read_encoded(at, part));
        } else {
            co_return std::unexpected(explain_unreadable(where, at));
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    co_return {};
}

Task<Result<void>> Layer::prefetch(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_range(at, length));
    while (length != 0) {
        const Result<ChainMapping> where = co_await locate_loading(at, length);
        if (!where) co_return std::unexpected(where.error().clone());
        at += where->mapping.length;
        length -= where->mapping.length;
    }
    co_return {};
}

}  // namespace qed
