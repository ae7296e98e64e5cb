// SPDX-License-Identifier: Apache-2.0
#include "engine/cluster_move.hpp"

#include <algorithm>
#include <optional>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/mutants.hpp"
#include "coro/when_all.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kChunkBytes = 1U << 20;
constexpr std::size_t kMostAtOnce = 256;

}  // namespace

bool ClusterMove::begin() noexcept {
    if (detail::mutant(detail::Mutant::move_without_gate)) return true;
    if (!gate_.is_closed()) {
        gate_.close();
        closed_at_ = allocator_.moment();
    }
    return allocator_.have_ended(closed_at_);
}

Task<Result<std::uint64_t>> ClusterMove::run(std::span<const Plan> plans) {
    if (plans.empty()) co_return std::uint64_t{0};
    std::uint64_t moved = 0;
    std::size_t next = 0;
    auto next_move = [&]() -> std::optional<Task<Result<void>>> {
        if (next == plans.size()) return std::nullopt;
        return move(plans[next++], moved);
    };
    const Result<void> done = co_await when_all(std::min(plans.size(), kMostAtOnce), next_move);
    for (const Plan& plan : plans.subspan(next))
        allocator_.abandon(plan.to);
    if (!done) co_return std::unexpected(done.error().clone());
    co_return moved;
}

Task<Result<void>> ClusterMove::move(const Plan& plan, std::uint64_t& moved) {
    const GuestOffset at{plan.guest_cluster << context_.cluster.bits()};
    ClusterRangeLock::Claim claim(context_.range_locks, at, context_.cluster.bytes());
    co_await claim;
    const RequestEpochs::Guard guard = context_.epochs.enter();
    const Result<Mapping> found = co_await context_.look_up(at, context_.cluster.bytes());
    const bool is_there =
        found && found->kind == Mapping::Kind::data && found->offset.value == plan.from.value;
    const bool is_moved = is_there || detail::mutant(detail::Mutant::move_without_lookup);
    Result<void> done;
    if (!found) done = std::unexpected(found.error().clone());
    if (done && is_moved) done = co_await copy(plan.from, plan.to.offset);
    if (!done || !is_moved) {
        allocator_.abandon(plan.to);
        co_return done;
    }
    if (detail::mutant(detail::Mutant::old_place_free_before_entry)) {
        allocator_.abandon({.offset = plan.from, .clusters = 1});
    }
    const MappingUpdate update{
        .at = at,
        .clusters = 1,
        .state = MappingUpdate::State::data,
        .storage = plan.to.offset,
        .after_flush = !detail::mutant(detail::Mutant::moved_data_not_flushed)};
    QED_CO_CHECK(co_await context_.metadata.commit(update));
    moved += context_.cluster.bytes();
    co_return {};
}

Task<Result<void>> ClusterMove::copy(FileOffset from, FileOffset to) {
    const std::uint64_t length = context_.cluster.bytes();
    if (context_.extender.bytes() < to.value + length) {
        QED_CO_CHECK(co_await context_.extender.extend_to(to.value + length));
    }
    const std::uint64_t chunk = std::min(length, kChunkBytes);
    Result<AlignedBuffer> buffer = AlignedBuffer::create(chunk, 4096);
    if (!buffer) co_return pass(buffer);
    for (std::uint64_t done = 0; done < length; done += chunk) {
        QED_CO_CHECK(co_await context_.file.read(from + done, buffer->span()));
        QED_CO_CHECK(co_await context_.file.write(to + done, buffer->span()));
    }
    co_return {};
}

}  // namespace qed
