// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "formats/qed/qed_layer.hpp"

// Write-zeroes and discard: markers in the tables for whole clusters, writes at the edges; and the
// way of freed clusters back to the file system.

namespace qed {
namespace {

constexpr std::uint64_t kZeroChunkBytes = 1U << 20;

}  // namespace

Task<Result<void>> QedLayer::write_zeroes(GuestOffset at, std::uint64_t length, WriteFlags flags) {
    QED_CO_CHECK(check_write(at, length));
    counters_.add(ImageCounter::zeroes);
    QED_CO_CHECK(co_await zero_range(at, at.value + length, flags));
    if (has(flags, WriteFlags::fua)) co_return co_await flush();
    co_return {};
}

Task<Result<void>> QedLayer::zero_range(GuestOffset at, std::uint64_t end, WriteFlags flags) {
    const bool may_write = !has(flags, WriteFlags::no_fallback);
    const RequestEpochs::Guard guard = epochs_.enter();
    const std::uint64_t whole_end = end_of_whole_clusters(end);
    const std::uint64_t whole_begin = geometry_.round_up_cluster(at.value);
    if (whole_begin >= whole_end) co_return co_await zero_edge(at, end - at.value, may_write);
    QED_CO_CHECK(co_await zero_edge(at, whole_begin - at.value, may_write));
    const Result<std::uint64_t> marked = co_await mark_clusters(
        GuestOffset{whole_begin}, whole_end, kZeroEntry, has(flags, WriteFlags::explicit_zero));
    if (!marked) co_return std::unexpected(marked.error().clone());
    if (*marked >= end) co_return {};
    co_return co_await zero_edge(GuestOffset{*marked}, end - *marked, may_write);
}

// A last cluster that the image ends in counts as whole.
std::uint64_t QedLayer::end_of_whole_clusters(std::uint64_t end) const noexcept {
    return end == size() ? end : round_down(end, geometry_.cluster_bytes());
}

// Part of a cluster, or of two: zeroes are written where anything else can be read.
Task<Result<void>> QedLayer::zero_edge(GuestOffset at, std::uint64_t length, bool may_write) {
    AlignedBuffer zeroes;
    while (length != 0) {
        const Result<Mapping> found = co_await look_up(at, length);
        if (!found) co_return std::unexpected(found.error().clone());
        std::uint64_t bytes = found->length;
        const bool is_zero = found->kind == Mapping::Kind::zero ||
                             (found->kind == Mapping::Kind::unallocated && !header_.has_backing());
        if (!is_zero) {
            if (!may_write) {
                co_return fail(Errc::unsupported,
                               "zeroing part of a cluster is no faster than writing zeroes");
            }
            bytes = std::min(bytes, kZeroChunkBytes);
            if (zeroes.size() < bytes) {
                Result<AlignedBuffer> made = AlignedBuffer::create(bytes, 4096);
                if (!made) co_return pass(made);
                zeroes = std::move(*made);
                std::fill_n(zeroes.data(), zeroes.size(), std::byte{0});
            }
            QED_CO_CHECK(co_await write_range(at, zeroes.span().first(bytes), false));
        }
        at += bytes;
        length -= bytes;
    }
    co_return {};
}

Task<Result<void>> QedLayer::discard(GuestOffset at, std::uint64_t length) {
    QED_CO_CHECK(check_write(at, length));
    counters_.add(ImageCounter::discards);
    const RequestEpochs::Guard guard = epochs_.enter();
    const std::uint64_t end = end_of_whole_clusters(at.value + length);
    const std::uint64_t begin = geometry_.round_up_cluster(at.value);
    if (begin >= end) co_return {};
    // Without a backing file nothing shows through an unallocated cluster.
    const Entry marker = header_.has_backing() ? kZeroEntry : kUnallocatedEntry;
    QED_CO_CHECK(co_await mark_clusters(GuestOffset{begin}, end, marker));
    co_return {};
}

// Whole clusters from `at` to `end`: their entries become `marker`, what they named is freed. When
// `end` lies within a cluster, this one is marked if the image still ends there: the claim of the
// cluster keeps it from growing. Entries that make no difference now are left alone unless
// `always`. Returns the end of what is marked.
Task<Result<std::uint64_t>> QedLayer::mark_clusters(GuestOffset at, std::uint64_t end, Entry marker,
                                                    bool always) {
    const std::uint64_t slice_span = geometry_.cluster_bytes() << cache_->addressing().entry_bits();
    while (at.value < end) {
        std::uint64_t slice_end = std::min(end, round_down(at.value, slice_span) + slice_span);
        ClusterRangeLock::Claim claim(range_locks_, geometry_.cluster_index(at),
                                      geometry_.cluster_index(GuestOffset{slice_end - 1}));
        if (co_await claim) counters_.add(ImageCounter::turn_waits);
        if (!geometry_.is_cluster_aligned(slice_end)) {
            end = size() == end ? geometry_.round_up_cluster(end)
                                : round_down(end, geometry_.cluster_bytes());
            slice_end = end;
            if (at.value == end) break;
        }
        const Result<bool> needed = co_await needs_marking(at, slice_end, marker, always);
        if (!needed) co_return std::unexpected(needed.error().clone());
        if (*needed) {
            const std::uint64_t clusters = (slice_end - at.value) >> geometry_.cluster_bits();
            TableUpdate update = update_for(at, clusters, marker);
            QED_CO_CHECK(co_await committer_->commit(update));
        }
        at = GuestOffset{slice_end};
    }
    co_return end;
}

Task<Result<bool>> QedLayer::needs_marking(GuestOffset at, std::uint64_t end, Entry marker,
                                           bool always) {
    while (at.value < end) {
        const Result<Mapping> found = co_await look_up(at, end - at.value);
        if (!found) co_return std::unexpected(found.error().clone());
        if (found->kind == Mapping::Kind::data) co_return true;
        const bool shows_backing =
            found->kind == Mapping::Kind::unallocated && (always || header_.has_backing());
        if (shows_backing && marker == kZeroEntry) co_return true;
        at += found->length;
    }
    co_return false;
}

// Old contents of free clusters are of no use to anybody, and their space is to others.
Task<Result<void>> QedLayer::punch_free_space() {
    while (file_->can_punch()) {
        const ClusterRun run = allocator_.take_unpunched();
        if (run.clusters == 0) break;
        const std::uint64_t bytes = run.clusters << geometry_.cluster_bits();
        const Result<void> done = co_await file_->punch(run.offset, bytes);
        allocator_.punched(run);
        if (!done) break;  // a failed punch loses nothing but space
    }
    co_return {};
}

}  // namespace qed
