// SPDX-License-Identifier: Apache-2.0
#include "engine/zero_path.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/math.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kZeroChunkBytes = 1U << 20;

Error no_faster() {
    return {Errc::unsupported, "zeroing part of a cluster is no faster than writing zeroes"};
}

}  // namespace

Task<Result<void>> ZeroPath::write_zeroes(GuestOffset at, std::uint64_t end, Options options) {
    const bool may_write = options.may_write;
    const RequestEpochs::Guard guard = context_.epochs.enter();
    if (options.keeps_allocated) {
        if (!may_write) co_return std::unexpected(no_faster());
        co_return co_await write_zero_bytes(at, end - at.value);
    }
    const std::uint64_t whole_end = end_of_whole_clusters(end);
    const std::uint64_t whole_begin = context_.cluster.round_up(at.value);
    if (whole_begin >= whole_end) co_return co_await zero_edge(at, end - at.value, may_write);
    QED_CO_CHECK(co_await zero_edge(at, whole_begin - at.value, may_write));
    const Result<std::uint64_t> marked =
        co_await mark(GuestOffset{whole_begin}, whole_end, State::zero, options.marks_always);
    if (!marked) co_return std::unexpected(marked.error().clone());
    if (*marked >= end) co_return {};
    co_return co_await zero_edge(GuestOffset{*marked}, end - *marked, may_write);
}

Task<Result<void>> ZeroPath::discard(GuestOffset at, std::uint64_t end) {
    const RequestEpochs::Guard guard = context_.epochs.enter();
    const std::uint64_t whole_end = end_of_whole_clusters(end);
    const std::uint64_t whole_begin = context_.cluster.round_up(at.value);
    if (whole_begin >= whole_end) co_return {};
    // Without a base an unallocated cluster reads as zeroes.
    const State marker = context_.disk.may_show_base() ? State::zero : State::unallocated;
    QED_CO_CHECK(co_await mark(GuestOffset{whole_begin}, whole_end, marker));
    co_return {};
}

// A last cluster in which the disk ends counts as whole.
std::uint64_t ZeroPath::end_of_whole_clusters(std::uint64_t end) const noexcept {
    return end == context_.disk.size() ? end : context_.cluster.round_down(end);
}

Task<Result<void>> ZeroPath::zero_edge(GuestOffset at, std::uint64_t length, bool may_write) {
    while (length != 0) {
        const Result<Mapping> found = co_await context_.look_up(at, length);
        if (!found) co_return std::unexpected(found.error().clone());
        const bool is_zero =
            found->kind == Mapping::Kind::zero ||
            (found->kind == Mapping::Kind::unallocated && !context_.disk.may_show_base());
        if (!is_zero) {
            if (!may_write) co_return std::unexpected(no_faster());
            QED_CO_CHECK(co_await write_zero_bytes(at, found->length));
        }
        at += found->length;
        length -= found->length;
    }
    co_return {};
}

Task<Result<void>> ZeroPath::write_zero_bytes(GuestOffset at, std::uint64_t length) {
    if (length == 0) co_return {};
    Result<AlignedBuffer> zeroes = AlignedBuffer::create(std::min(length, kZeroChunkBytes), 4096);
    if (!zeroes) co_return pass(zeroes);
    std::fill_n(zeroes->data(), zeroes->size(), std::byte{0});
    while (length != 0) {
        const auto part = zeroes->span().first(std::min<std::uint64_t>(length, zeroes->size()));
        QED_CO_CHECK(co_await writes_.write_internally(at, part));
        at += part.size();
        length -= part.size();
    }
    co_return {};
}

Task<Result<std::uint64_t>> ZeroPath::mark(GuestOffset at, std::uint64_t end, State marker,
                                           bool always) {
    const std::uint64_t span = context_.metadata.update_span();
    while (at.value < end) {
        std::uint64_t part_end = std::min(end, round_down(at.value, span) + span);
        ClusterRangeLock::Claim claim(context_.range_locks, at, part_end - at.value);
        if (co_await claim) context_.counters.add(EngineCounter::lock_waits);
        if (!context_.cluster.is_aligned(part_end)) {
            end = context_.disk.size() == end ? context_.cluster.round_up(end)
                                              : context_.cluster.round_down(end);
            part_end = end;
            if (at.value == end) break;
        }
        const Result<Part> part = co_await part_to_mark(at, part_end, marker, always);
        if (!part) co_return std::unexpected(part.error().clone());
        if (part->begin != part->end) {
            const MappingUpdate update{
                .at = GuestOffset{part->begin},
                .clusters = context_.cluster.clusters_for(part->end - part->begin),
                .state = marker};
            QED_CO_CHECK(co_await context_.metadata.commit(update));
        }
        at = GuestOffset{part_end};
    }
    co_return end;
}

// From the first to the last cluster that changes: sectors of tables before and after them need not
// be written.
Task<Result<ZeroPath::Part>> ZeroPath::part_to_mark(GuestOffset at, std::uint64_t end, State marker,
                                                    bool always) {
    Part part;
    while (at.value < end) {
        const Result<Mapping> found = co_await context_.look_up(at, end - at.value);
        if (!found) co_return std::unexpected(found.error().clone());
        const bool may_show_base =
            found->kind == Mapping::Kind::unallocated && (always || context_.disk.may_show_base());
        if (found->kind == Mapping::Kind::data || (may_show_base && marker == State::zero)) {
            if (part.begin == part.end) part.begin = at.value;
            part.end = at.value + found->length;
        }
        at += found->length;
    }
    co_return part;
}

}  // namespace qed
