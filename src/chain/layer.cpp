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

Located Layer::located(const Lookup& found, unsigned depth) noexcept {
    Located where{.layer = this,
                  .file_offset = found.file_offset,
                  .length = found.length,
                  .depth = depth,
                  .found = found.kind};
    switch (found.kind) {
        case Lookup::Kind::data:
            where.kind = Located::Kind::data;
            break;
        case Lookup::Kind::miss:
            where.kind = Located::Kind::miss;
            break;
        case Lookup::Kind::bad_l1:
        case Lookup::Kind::bad_l2:
            where.kind = Located::Kind::bad;
            break;
        case Lookup::Kind::zero:
        case Lookup::Kind::unallocated:
            where.kind = Located::Kind::zero;
            break;
    }
    return where;
}

Located Layer::locate(GuestOffset at, std::uint64_t length) noexcept {
    Layer* layer = this;
    for (unsigned depth = 0;;) {
        const std::uint64_t end = layer->size();
        if (at.value >= end) return {.length = length, .depth = depth};
        length = std::min(length, end - at.value);
        const Lookup found = layer->find(at, length);
        if (found.kind != Lookup::Kind::unallocated) {
            Located where = layer->located(found, depth);
            if (found.kind == Lookup::Kind::miss) where.length = length;
            return where;
        }
        length = found.length;
        if (layer->backing_ == nullptr) {
            if (layer->lacks_backing())
                return {
                    .kind = Located::Kind::bad, .layer = layer, .length = length, .depth = depth};
            return {.length = length, .depth = depth};
        }
        const ChainIndex::Jump jump = layer->index_.from(at, length);
        length = jump.length;
        depth += jump.steps;
        layer = layer->below_[jump.steps - 1];
    }
}

Task<Result<Located>> Layer::locate_loading(GuestOffset at, std::uint64_t length) {
    Located where = locate(at, length);
    unsigned depth = 0;
    while (where.kind == Located::Kind::miss) {
        Layer& layer = *where.layer;
        depth += where.depth;
        Result<Lookup> loaded = co_await layer.load(at, where.length);
        if (!loaded) co_return pass(loaded);
        QED_ASSERT(loaded->kind != Lookup::Kind::miss);
        if (loaded->kind == Lookup::Kind::unallocated && layer.backing_ != nullptr) {
            // Go on below: asking this layer again could miss again.
            where = layer.backing_->layer_->locate(at, loaded->length);
            ++depth;
        } else {
            where = layer.located(*loaded, 0);
            if (loaded->kind == Lookup::Kind::unallocated) {
                where.kind = layer.lacks_backing() ? Located::Kind::bad : Located::Kind::zero;
            }
        }
    }
    where.depth += depth;
    co_return where;
}

Result<void> Layer::cannot_read(const Located& where, GuestOffset at) {
    if (where.found != Lookup::Kind::unallocated) {
        return std::unexpected(where.layer->bad_entry_error(at, where.found));
    }
    return fail(Errc::backing_refused,
                fmt::format("{}: the clusters at {} are in the backing file '{}', which was not "
                            "opened",
                            where.layer->file().name(), at.value, where.layer->backing_name()));
}

Result<void> Layer::read_blocking(GuestOffset at, std::span<std::byte> buffer) {
    QED_CHECK(check_range(at, buffer.size()));
    const RequestEpochs::Guard guard = enter();
    count_read(buffer.size());
    while (!buffer.empty()) {
        const Located where = locate(at, buffer.size());
        if (where.kind == Located::Kind::miss) return sync_wait(read_range(at, buffer));
        const auto part = buffer.first(where.length);
        if (where.kind == Located::Kind::data) {
            IoOp op = where.layer->file().read(FileOffset{where.file_offset}, part);
            QED_CHECK(op.run_blocking());
        } else if (where.kind == Located::Kind::zero) {
            std::memset(part.data(), 0, part.size());
        } else {
            return cannot_read(where, at);
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
        const Located where = locate(at, buffer.size());
        if (where.kind == Located::Kind::miss) co_return co_await read_range(at, buffer);
        const auto part = buffer.first(where.length);
        if (where.kind == Located::Kind::data) {
            QED_CO_CHECK(co_await where.layer->file().read(FileOffset{where.file_offset}, part));
        } else if (where.kind == Located::Kind::zero) {
            std::memset(part.data(), 0, part.size());
        } else {
            co_return cannot_read(where, at);
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    co_return {};
}

// The rest of a read that has to load table slices on its way.
Task<Result<void>> Layer::read_range(GuestOffset at, std::span<std::byte> buffer) {
    while (!buffer.empty()) {
        const Result<Located> where = co_await locate_loading(at, buffer.size());
        if (!where) co_return std::unexpected(where.error().clone());
        const auto part = buffer.first(where->length);
        if (where->kind == Located::Kind::data) {
            QED_CO_CHECK(co_await where->layer->file().read(FileOffset{where->file_offset}, part));
        } else if (where->kind == Located::Kind::zero) {
            std::memset(part.data(), 0, part.size());
        } else {
            co_return cannot_read(*where, at);
        }
        at += part.size();
        buffer = buffer.subspan(part.size());
    }
    co_return {};
}

Task<Result<Extent>> Layer::extent_at(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_range(at, length));
    if (length == 0) co_return Extent{};
    Lookup found = find(at, length);
    if (found.kind == Lookup::Kind::miss) {
        Result<Lookup> loaded = co_await load(at, length);
        if (!loaded) co_return pass(loaded);
        found = *loaded;
    }
    Extent extent{.length = found.length};
    switch (found.kind) {
        case Lookup::Kind::data:
            extent.kind = ExtentKind::data;
            extent.file_offset = FileOffset{found.file_offset};
            break;
        case Lookup::Kind::zero:
            extent.kind = ExtentKind::zero;
            break;
        case Lookup::Kind::unallocated:
            break;
        default:
            co_return std::unexpected(bad_entry_error(at, found.kind));
    }
    co_return extent;
}

Task<Result<void>> Layer::prefetch(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_range(at, length));
    while (length != 0) {
        const Result<Located> where = co_await locate_loading(at, length);
        if (!where) co_return std::unexpected(where.error().clone());
        at += where->length;
        length -= where->length;
    }
    co_return {};
}

}  // namespace qed
