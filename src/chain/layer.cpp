// SPDX-License-Identifier: Apache-2.0
#include "chain/layer.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/assert.hpp"

namespace qed {

Layer::Layer(std::unique_ptr<BlockFile> file, std::shared_ptr<Image> backing)
    : file_(std::move(file)), backing_(std::move(backing)) {
    if (backing_ == nullptr) return;
    const Layer& next = of(*backing_);
    below_.push_back(backing_->layer_.get());
    below_.insert(below_.end(), next.below_.begin(), next.below_.end());
}

Layer::~Layer() = default;

std::unique_ptr<Image> Layer::wrap(std::unique_ptr<Layer> layer) {
    return std::unique_ptr<Image>(new Image(std::move(layer)));
}

Result<void> Layer::check_range(GuestOffset at, std::uint64_t length) const {
    const std::uint64_t bytes = size();
    if (at.value <= bytes && length <= bytes - at.value) return {};
    return fail(Errc::out_of_range,
                fmt::format("{}: {} bytes at {} reach past the end of the virtual disk ({} bytes)",
                            file().name(), length, at.value, bytes));
}

std::uint64_t Layer::mapped_bytes() const noexcept {
    std::uint64_t bytes = file_->mapped_bytes();
    for (const Layer* layer : below_)
        bytes += layer->file().mapped_bytes();
    return bytes;
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
            // Go on below: asking this layer again could miss again.
            const unsigned depth = where.depth + 1;
            where = layer.backing_->layer_->locate(at, loaded->length);
            where.depth += depth;
        } else {
            where.mapping = *loaded;
        }
    }
    co_return where;
}

Error Layer::explain_unreadable(const ChainMapping& where, GuestOffset at) {
    if (where.mapping.kind != Mapping::Kind::unallocated) return where.layer->explain(at);
    return {Errc::backing_refused,
            fmt::format("{}: the clusters at {} are in the backing file '{}', which was not "
                        "opened",
                        where.layer->file().name(), at.value, where.layer->backing_name())};
}

Result<void> Layer::read_blocking(GuestOffset at, std::span<std::byte> buffer) {
    QED_CHECK(check_range(at, buffer.size()));
    const RequestEpochs::Guard guard = enter();
    count_read(buffer.size());
    while (!buffer.empty()) {
        const ChainMapping where = locate(at, buffer.size());
        if (!where.is_loaded()) return sync_wait(read_range(at, buffer));
        const auto part = buffer.first(where.mapping.length);
        if (where.mapping.kind == Mapping::Kind::data) {
            IoOp op = where.layer->file().read(where.mapping.offset, part);
            QED_CHECK(op.run_blocking());
        } else if (where.reads_as_zeroes()) {
            std::memset(part.data(), 0, part.size());
        } else {
            return std::unexpected(explain_unreadable(where, at));
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    return {};
}

Task<Result<void>> Layer::read(GuestOffset at, std::span<std::byte> buffer) {
    QED_CO_CHECK(check_range(at, buffer.size()));
    const RequestEpochs::Guard guard = enter();
    count_read(buffer.size());
    while (!buffer.empty()) {
        const ChainMapping where = locate(at, buffer.size());
        if (!where.is_loaded()) co_return co_await read_range(at, buffer);
        const auto part = buffer.first(where.mapping.length);
        if (where.mapping.kind == Mapping::Kind::data) {
            QED_CO_CHECK(co_await where.layer->file().read(where.mapping.offset, part));
        } else if (where.reads_as_zeroes()) {
            std::memset(part.data(), 0, part.size());
        } else {
            co_return std::unexpected(explain_unreadable(where, at));
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    co_return {};
}

// The rest of a read that has to load table slices on its way.
Task<Result<void>> Layer::read_range(GuestOffset at, std::span<std::byte> buffer) {
    while (!buffer.empty()) {
        const Result<ChainMapping> where = co_await locate_loading(at, buffer.size());
        if (!where) co_return std::unexpected(where.error().clone());
        const auto part = buffer.first(where->mapping.length);
        if (where->mapping.kind == Mapping::Kind::data) {
            QED_CO_CHECK(co_await where->layer->file().read(where->mapping.offset, part));
        } else if (where->reads_as_zeroes()) {
            std::memset(part.data(), 0, part.size());
        } else {
            co_return std::unexpected(explain_unreadable(*where, at));
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    co_return {};
}

Task<Result<Mapping>> Layer::extent_at(GuestOffset at, std::uint64_t length) {
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
