// SPDX-License-Identifier: Apache-2.0
#include "engine/write_path.hpp"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/mutants.hpp"

namespace qed {
namespace {

// Heads and tails up to this size are joined with the data into one write.
constexpr std::uint64_t kJoinedBytes = 1U << 20;

iovec to_iovec(std::span<const std::byte> bytes) {
    return {.iov_base = const_cast<std::byte*>(bytes.data()),  // NOLINT: written from, not to
            .iov_len = bytes.size()};
}

bool is_unmapped(const Mapping& mapping) {
    return mapping.kind == Mapping::Kind::unallocated || mapping.kind == Mapping::Kind::zero;
}

Task<Result<void>> clear(std::span<std::byte> buffer) {
    std::memset(buffer.data(), 0, buffer.size());
    co_return {};
}

}  // namespace

/// A write into consecutive new clusters, with the bytes that surround it in them.
struct WritePath::Piece {
    /// As much of `wanted` as there is room for in `new_run`.
    Piece(GuestOffset start, std::span<const std::byte> wanted, const ClusterRun& new_run,
          ClusterSize cluster, bool shows_base)
        : at(start), run(new_run), head(cluster.within(start)), from_base(shows_base) {
        QED_ASSERT(cluster.is_aligned(run.offset.value));
        const std::uint64_t room = (run.clusters << cluster.bits()) - head;
        data = wanted.first(std::min<std::uint64_t>(wanted.size(), room));
        tail = room - data.size();
    }

    GuestOffset at;
    std::span<const std::byte> data;
    ClusterRun run;
    std::uint64_t head = 0;  ///< bytes of the first cluster before the data
    std::uint64_t tail = 0;  ///< bytes of the last cluster after it
    bool from_base = false;  ///< head and tail come from the base, else they are zero

    FileOffset end() const { return run.offset + (head + data.size() + tail); }
    /// Around the data, a cluster past the old end of the file reads as zeroes by itself.
    bool needs_filling() const { return (from_base || run.has_old_data) && head + tail != 0; }
};

Result<void> WritePath::try_in_place(GuestOffset at, std::span<const std::byte> data,
                                     Mapping& seen) {
    const RequestEpochs::Guard guard = context_.epochs.enter();
    if (context_.gate.is_closed()) [[unlikely]] {
        seen = {};
        return {};
    }
    seen = Mapping::in_place(FileOffset{}, 0);
    for (const GuestOffset begin = at; !data.empty();) {
        seen = context_.cache.find(at, data.size());
        if (!seen.writable_in_place) {
            // The written part stays valid, and write() writes it again.
            if (at != begin) seen = {};
            return {};
        }
        IoOp op = context_.file.write(seen.offset, data.first(seen.length));
        if (Result<void> done = op.run_blocking(); !done) return done;
        at += seen.length;
        data = data.subspan(seen.length);
    }
    return {};
}

Task<Result<void>> WritePath::write_range(GuestOffset at, std::span<const std::byte> data,
                                          Mapping seen, bool is_request) {
    if (is_request) QED_CO_CHECK(context_.disk.admit_write(at, data.size()));
    RequestEpochs::Guard guard = context_.epochs.enter();
    Prefer prefer = Prefer::holes;
    while (!data.empty()) {
        // Only if there was no cluster may the caller's mapping be older than the guard.
        const Mapping found = is_unmapped(seen) ? seen : context_.cache.find(at, data.size());
        seen = {};
        std::uint64_t written = found.length;
        if (found.writable_in_place && !context_.gate.is_closed()) {
            QED_CO_CHECK(co_await context_.file.write(found.offset, data.first(found.length)));
        } else {
            const Result<std::uint64_t> done = co_await write_new_clusters(at, data, prefer);
            if (!done) {
                if (prefer == Prefer::occupied || done.error().code() != Errc::no_space) {
                    co_return std::unexpected(done.error().clone());
                }
                // A flush frees released clusters when this request, too, has left its epoch.
                prefer = Prefer::occupied;
                guard = {};
                QED_CO_CHECK(co_await context_.metadata.flush());
                guard = context_.epochs.enter();
                continue;
            }
            written = *done;
        }
        at += written;
        data = data.subspan(written);
    }
    co_return {};
}

Task<Result<std::uint64_t>> WritePath::write_new_clusters(GuestOffset at,
                                                          std::span<const std::byte> data,
                                                          Prefer prefer) {
    const std::uint64_t span = context_.metadata.update_span();
    const std::uint64_t in_update = span - (at.value & (span - 1));
    data = data.first(std::min<std::uint64_t>(data.size(), in_update));
    ClusterRangeLock::Claim claim(context_.range_locks, at, data.size());
    const bool has_waited = co_await claim;
    if (has_waited) context_.counters.add(EngineCounter::lock_waits);
    // Another request may have allocated them in the meantime.
    Result<Mapping> found = context_.cache.find(at, data.size());
    if (!found->is_sound()) found = co_await context_.look_up(at, data.size());
    if (!found) co_return pass(found);
    data = data.first(found->length);
    if (found->writable_in_place &&
        !(has_waited && detail::mutant(detail::Mutant::no_second_lookup))) {
        QED_CO_CHECK(co_await context_.file.write(found->offset, data));
        co_return data.size();
    }

    if (wants_flush()) QED_CO_CHECK(co_await context_.flushes.flush());
    const bool shows_base = found->kind == Mapping::Kind::unallocated ||
                            detail::mutant(detail::Mutant::zero_cluster_shows_backing);
    const std::uint64_t wanted =
        context_.cluster.clusters_for(context_.cluster.within(at) + data.size());
    Result<ClusterRun> run = context_.allocator.reserve(wanted, prefer);
    if (!run) co_return pass(run);
    QED_ASSERT(run->clusters > 0 && run->clusters <= wanted);
    const Piece piece(at, data, *run, context_.cluster,
                      shows_base && context_.disk.base_bytes() != 0);
    Result<void> done;
    if (context_.extender.bytes() < piece.end().value) {
        done = co_await context_.extender.extend_to(piece.end().value);
    }
    if (done && piece.needs_filling()) {
        done = co_await write_filled(piece);
    } else if (done) {
        done = co_await context_.file.write(piece.run.offset + piece.head, piece.data);
    }
    if (!done) {
        context_.allocator.abandon(piece.run);
        co_return std::unexpected(std::move(done.error()));
    }
    const MappingUpdate update{
        .at = context_.cluster.start(at),
        .clusters = piece.run.clusters,
        .state = MappingUpdate::State::data,
        .storage = piece.run.offset,
        .after_flush = context_.strict || piece.run.after_flush || context_.disk.may_show_base()};
    QED_CO_CHECK(co_await context_.metadata.commit(update));
    context_.counters.add(EngineCounter::allocated_clusters, piece.run.clusters);
    co_return piece.data.size();
}

// Freed clusters are used again after a flush. A guest that never flushes must not fill the host's
// disk in the meantime. What was found free at open waits for a flush, too.
bool WritePath::wants_flush() const noexcept {
    return context_.allocator.wants_flush() ||
           context_.allocator.unflushed_bytes() > context_.freed_limit;
}

Task<Result<void>> WritePath::write_filled(const Piece& piece) {
    if (piece.head + piece.tail <= kJoinedBytes) return write_joined(piece);
    return write_apart(piece);
}

Task<Result<void>> WritePath::write_joined(const Piece& piece) {
    Result<AlignedBuffer> around = AlignedBuffer::create(piece.head + piece.tail, 4096);
    if (!around) co_return pass(around);
    const auto head = around->span().first(piece.head);
    const auto tail = around->span().subspan(piece.head);
    const bool fills_head = piece.from_base && !detail::mutant(detail::Mutant::lost_head_fill);
    const bool fills_tail = piece.from_base && !detail::mutant(detail::Mutant::lost_tail_fill);
    if (!head.empty()) {
        QED_CO_CHECK(co_await fill(context_.cluster.start(piece.at), head, fills_head));
    }
    if (!tail.empty()) {
        QED_CO_CHECK(co_await fill(piece.at + piece.data.size(), tail, fills_tail));
    }
    iovec parts[] = {to_iovec(head), to_iovec(piece.data), to_iovec(tail)};
    co_return co_await context_.file.writev(piece.run.offset, parts);
}

Task<Result<void>> WritePath::write_apart(const Piece& piece) {
    QED_CO_CHECK(co_await copy(context_.cluster.start(piece.at), piece.head, piece.run.offset,
                               piece.from_base));
    const FileOffset data_at = piece.run.offset + piece.head;
    const FileOffset tail_at = data_at + piece.data.size();
    QED_CO_CHECK(co_await copy(piece.at + piece.data.size(), piece.tail, tail_at, piece.from_base));
    co_return co_await context_.file.write(data_at, piece.data);
}

Task<Result<void>> WritePath::copy(GuestOffset at, std::uint64_t length, FileOffset to,
                                   bool from_base) {
    if (length == 0) co_return {};
    Result<AlignedBuffer> buffer = AlignedBuffer::create(std::min(length, kJoinedBytes), 4096);
    if (!buffer) co_return pass(buffer);
    while (length != 0) {
        const auto part = buffer->span().first(std::min<std::uint64_t>(length, buffer->size()));
        QED_CO_CHECK(co_await fill(at, part, from_base));
        QED_CO_CHECK(co_await context_.file.write(to, part));
        at += part.size();
        to += part.size();
        length -= part.size();
    }
    co_return {};
}

Task<Result<void>> WritePath::fill(GuestOffset at, std::span<std::byte> buffer, bool from_base) {
    if (from_base) return context_.disk.read_base(at, buffer);
    return clear(buffer);
}

}  // namespace qed
