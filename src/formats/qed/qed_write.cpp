// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "base/mutants.hpp"
#include "base/trace.hpp"
#include "formats/qed/qed_layer.hpp"

// In place where the cluster exists; otherwise, in the claim of these clusters: reserve, write the
// data with what surrounds it, then let the committer write the table entries.

namespace qed {
namespace {

// Heads and tails up to this size are joined with the payload into one write.
constexpr std::uint64_t kJoinedBytes = 1U << 20;

iovec to_iovec(std::span<const std::byte> bytes) {
    return {.iov_base = const_cast<std::byte*>(bytes.data()),  // NOLINT: written from, not to
            .iov_len = bytes.size()};
}

}  // namespace

/// A write into adjacent new clusters, and what surrounds it in them.
struct QedLayer::Piece {
    GuestOffset at;
    std::span<const std::byte> data;
    ClusterRun run;
    std::uint64_t head = 0;     ///< bytes of the first cluster before the data
    std::uint64_t tail = 0;     ///< bytes of the last cluster behind it
    bool from_backing = false;  ///< head and tail come from the backing file, else they are zero
};

Result<void> QedLayer::check_not_stopped() const {
    return flushes_.check_not_failed();
}

Result<void> QedLayer::check_write(GuestOffset at, std::uint64_t length) const {
    if (!options_.writable) {
        return fail(Errc::read_only, fmt::format("{}: opened read-only", file_->name()));
    }
    QED_CHECK(check_not_stopped());
    return check_range(at, length);
}

Task<Result<Mapping>> QedLayer::look_up(GuestOffset at, std::uint64_t length) {
    Mapping found = cache_->find(at, length);
    if (found.kind == Mapping::Kind::not_loaded) {
        Result<Mapping> loaded = co_await load(at, length);
        if (!loaded) co_return pass(loaded);
        found = *loaded;
    }
    if (found.kind == Mapping::Kind::corrupt) co_return std::unexpected(explain(at));
    co_return found;
}

// No coroutine of its own where there is nothing to do afterwards.
Task<Result<void>> QedLayer::write(GuestOffset at, std::span<const std::byte> data,
                                   WriteFlags flags) {
    if (has(flags, WriteFlags::fua) && !detail::mutant(detail::Mutant::fua_without_flush)) {
        return write_through(at, data);
    }
    return write_range(at, data, true);
}

Task<Result<void>> QedLayer::write_through(GuestOffset at, std::span<const std::byte> data) {
    QED_CO_CHECK(co_await write_range(at, data, true));
    co_return co_await flush();
}

std::optional<Result<void>> QedLayer::write_in_place(GuestOffset at,
                                                     std::span<const std::byte> data) {
    if (Result<void> legal = check_write(at, data.size()); !legal) return legal;
    const RequestEpochs::Guard guard = epochs_.enter();
    const std::uint64_t bytes = data.size();
    while (!data.empty()) {
        const Mapping found = cache_->find(at, data.size());
        if (!found.writable_in_place) return std::nullopt;  // what was written stays right
        IoOp op = file_->write(found.offset, data.first(found.length));
        if (Result<void> done = op.run_blocking(); !done) return done;
        at += found.length;
        data = data.subspan(found.length);
    }
    counters_.add(ImageCounter::writes);
    counters_.add(ImageCounter::write_bytes, bytes);
    return Result<void>{};
}

Task<Result<void>> QedLayer::write_range(GuestOffset at, std::span<const std::byte> data,
                                         bool is_request) {
    if (is_request) {
        QED_CO_CHECK(check_write(at, data.size()));
        counters_.add(ImageCounter::writes);
        counters_.add(ImageCounter::write_bytes, data.size());
    }
    const RequestEpochs::Guard guard = epochs_.enter();
    while (!data.empty()) {
        const Mapping found = cache_->find(at, data.size());
        std::uint64_t written = found.length;
        if (found.writable_in_place) {
            QED_CO_CHECK(co_await file_->write(found.offset, data.first(found.length)));
        } else {
            const Result<std::uint64_t> done = co_await write_new_clusters(at, data);
            if (!done) co_return std::unexpected(done.error().clone());
            written = *done;
        }
        at += written;
        data = data.subspan(written);
    }
    co_return {};
}

TableUpdate QedLayer::update_for(GuestOffset at, std::uint64_t clusters, Entry base) {
    TableUpdate update;
    update.slice = cache_->slice_index(at);
    update.first = static_cast<std::uint32_t>(geometry_.cluster_index(at)) &
                   (cache_->addressing().slice_entries() - 1);
    update.count = static_cast<std::uint32_t>(clusters);
    update.base = base;
    update.pin = cache_->try_pin(update.slice);
    return update;
}

// Writes a first part of `data` that lies in one table slice, and returns its length.
Task<Result<std::uint64_t>> QedLayer::write_new_clusters(GuestOffset at,
                                                         std::span<const std::byte> data) {
    const std::uint64_t slice_span = geometry_.cluster_bytes() << cache_->addressing().entry_bits();
    const std::uint64_t in_slice = slice_span - (at.value & (slice_span - 1));
    data = data.first(std::min<std::uint64_t>(data.size(), in_slice));
    ClusterRangeLock::Claim claim(range_locks_, geometry_.cluster_index(at),
                                  geometry_.cluster_index(at + (data.size() - 1)));
    const bool has_waited = co_await claim;
    if (has_waited) counters_.add(ImageCounter::turn_waits);
    // Another request may have allocated them in the meantime.
    Result<Mapping> found = cache_->find(at, data.size());
    if (!found->is_sound()) found = co_await look_up(at, data.size());
    if (!found) co_return pass(found);
    data = data.first(found->length);
    if (found->writable_in_place &&
        !(has_waited && detail::mutant(detail::Mutant::no_second_lookup))) {
        QED_CO_CHECK(co_await file_->write(found->offset, data));
        co_return data.size();
    }

    Piece piece{.at = at, .data = data, .run = {}, .head = geometry_.in_cluster(at)};
    const bool shows_backing = found->kind == Mapping::Kind::unallocated ||
                               detail::mutant(detail::Mutant::zero_cluster_shows_backing);
    piece.from_backing = shows_backing && header_.has_backing();
    const Result<ClusterRun> run =
        allocator_.reserve(geometry_.clusters_for(piece.head + data.size()));
    if (!run) co_return std::unexpected(run.error().clone());
    piece.run = *run;
    const std::uint64_t room = (run->clusters << geometry_.cluster_bits()) - piece.head;
    piece.data = data.first(std::min<std::uint64_t>(data.size(), room));
    piece.tail = room - piece.data.size();
    const std::uint64_t end = piece.run.offset.value + piece.head + room;
    Result<void> done;
    if (extender_.bytes() < end) done = co_await extender_.extend_to(end);
    // What lies around it in a cluster past the old end of the file reads as zero by itself.
    const bool is_filled = piece.from_backing || piece.run.reused;
    if (done && is_filled && piece.head + piece.tail != 0) {
        done = co_await write_filled(piece);
    } else if (done) {
        done = co_await file_->write(piece.run.offset + piece.head, piece.data);
    }
    if (!done) {
        allocator_.give_back(piece.run);
        co_return std::unexpected(std::move(done.error()));
    }
    TableUpdate update = update_for(at, run->clusters, run->offset.value);
    update.after_flush = strict_ || run->reused;
    // If this fails the clusters leak: the file may name them all the same.
    QED_CO_CHECK(co_await committer_->commit(update));
    counters_.add(ImageCounter::allocated_clusters, run->clusters);
    co_return piece.data.size();
}

Task<Result<void>> QedLayer::write_filled(Piece& piece) {
    if (piece.head + piece.tail <= kJoinedBytes) return write_joined(piece);
    return write_apart(piece);
}

Task<Result<void>> QedLayer::write_apart(Piece& piece) {
    const std::uint64_t bytes = piece.run.clusters << geometry_.cluster_bits();
    QED_CO_CHECK(co_await copy_clusters(geometry_.cluster_start(piece.at), piece.head,
                                        piece.run.offset, piece.from_backing));
    QED_CO_CHECK(co_await copy_clusters(piece.at + piece.data.size(), piece.tail,
                                        piece.run.offset + (bytes - piece.tail),
                                        piece.from_backing));
    co_return co_await file_->write(piece.run.offset + piece.head, piece.data);
}

Task<Result<void>> QedLayer::write_joined(Piece& piece) {
    Result<AlignedBuffer> around = AlignedBuffer::create(piece.head + piece.tail, 4096);
    if (!around) co_return pass(around);
    const auto head = around->span().first(piece.head);
    const auto tail = around->span().subspan(piece.head);
    QED_CO_CHECK(
        co_await fill(geometry_.cluster_start(piece.at), head,
                      piece.from_backing && !detail::mutant(detail::Mutant::lost_head_fill)));
    QED_CO_CHECK(
        co_await fill(piece.at + piece.data.size(), tail,
                      piece.from_backing && !detail::mutant(detail::Mutant::lost_tail_fill)));
    iovec parts[] = {to_iovec(head), to_iovec(piece.data), to_iovec(tail)};
    co_return co_await file_->writev(piece.run.offset, parts);
}

Task<Result<void>> QedLayer::copy_clusters(GuestOffset at, std::uint64_t length, FileOffset to,
                                           bool from_backing) {
    if (length == 0) co_return {};
    Result<AlignedBuffer> buffer = AlignedBuffer::create(std::min(length, kJoinedBytes), 4096);
    if (!buffer) co_return pass(buffer);
    while (length != 0) {
        const auto part = buffer->span().first(std::min<std::uint64_t>(length, buffer->size()));
        QED_CO_CHECK(co_await fill(at, part, from_backing));
        QED_CO_CHECK(co_await file_->write(to, part));
        at += part.size();
        to += part.size();
        length -= part.size();
    }
    co_return {};
}

// What the guest sees at `at` while the clusters are not allocated. Behind the end of the image
// and of the backing file that is zeroes.
Task<Result<void>> QedLayer::fill(GuestOffset at, std::span<std::byte> buffer, bool from_backing) {
    std::uint64_t stored = 0;
    if (from_backing) {
        const std::uint64_t end = backing_ == nullptr ? size() : std::min(size(), backing_->size());
        stored = std::min<std::uint64_t>(buffer.size(), end - std::min(at.value, end));
    }
    if (backing_ != nullptr && stored != 0 && stored == buffer.size()) {
        return Layer::of(*backing_).read(at, buffer);  // no coroutine on top
    }
    return fill_partly(at, buffer, stored);
}

Task<Result<void>> QedLayer::fill_partly(GuestOffset at, std::span<std::byte> buffer,
                                         std::uint64_t stored) {
    if (stored != 0) {
        if (backing_ == nullptr) {
            co_return fail(Errc::backing_refused,
                           fmt::format("{}: the backing file '{}' was not opened", file_->name(),
                                       backing_name_));
        }
        QED_CO_CHECK(co_await Layer::of(*backing_).read(at, buffer.first(stored)));
    }
    if (stored != buffer.size()) {
        std::memset(buffer.data() + stored, 0, buffer.size() - stored);
    }
    co_return {};
}

Task<Result<void>> QedLayer::flush() {
    if (!options_.writable) co_return {};
    QED_CO_CHECK(check_not_stopped());
    counters_.add(ImageCounter::flushes);
    if (detail::mutant(detail::Mutant::flush_does_nothing)) co_return {};
    if (committer_->has_deferred()) {
        AsyncMutex::Guard tables = co_await committer_->table_lock().lock();
        QED_CO_CHECK(co_await committer_->write_deferred());
    }
    co_return co_await flushes_.flush();
}

}  // namespace qed
