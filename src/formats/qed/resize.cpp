// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/resize.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/mutants.hpp"

namespace qed {

using State = MappingUpdate::State;

Task<Result<void>> QedResize::resize(std::uint64_t bytes, bool allow_data_loss) {
    if (bytes == 0 || bytes % kSectorBytes != 0 || bytes > geometry_.max_image_bytes()) {
        co_return fail(
            Errc::invalid_argument,
            fmt::format("{}: the image size {} must be a multiple of {} and at most {} "
                        "at this cluster and table size",
                        context().file.name(), bytes, kSectorBytes, geometry_.max_image_bytes()));
    }
    AsyncMutex::Guard resizing = co_await resizing_.lock();
    const std::uint64_t now = bytes_.load(std::memory_order_acquire);
    if (bytes > now) co_return co_await grow(bytes);
    if (bytes < now) co_return co_await shrink(bytes, allow_data_loss);
    co_return {};
}

// The new space could show old clusters or a longer base. It is made to read as zeroes before the
// header states that it exists.
Task<Result<void>> QedResize::grow(std::uint64_t bytes) {
    const std::uint64_t old_bytes = bytes_.load(std::memory_order_acquire);
    ZeroPath& zeroes = parts_.engine.zeroes();
    QED_CO_CHECK(co_await parts_.tables.load_l1(old_bytes, bytes));
    const std::uint64_t cluster_end = geometry_.round_up_cluster(old_bytes);
    if (cluster_end != old_bytes) {
        const std::uint64_t edge = std::min(cluster_end, bytes) - old_bytes;
        QED_CO_CHECK(co_await zeroes.zero_edge(GuestOffset{old_bytes}, edge, true));
    }
    const std::uint64_t end = geometry_.round_up_cluster(bytes);
    const std::uint64_t base_end = std::clamp(
        geometry_.round_up_cluster(std::min(context().disk.base_bytes(), end)), cluster_end, end);
    if (!detail::mutant(detail::Mutant::grow_shows_backing)) {
        QED_CO_CHECK(co_await zeroes.mark(GuestOffset{cluster_end}, base_end, State::zero));
    }
    if (detail::mutant(detail::Mutant::shrink_keeps_entries)) co_return co_await write_size(bytes);
    QED_CO_CHECK(co_await zeroes.mark(GuestOffset{base_end}, end, State::unallocated));
    QED_CO_CHECK(co_await parts_.engine.flush());
    // A request that treats the cluster in which the disk ends as a whole one has ended when this
    // claim is granted; later requests see the new size.
    ClusterRangeLock::Claim claim(parts_.engine.range_locks(), GuestOffset{old_bytes}, 1);
    co_await claim;
    co_return co_await write_size(bytes);
}

Task<Result<void>> QedResize::shrink(std::uint64_t bytes, bool allow_data_loss) {
    const std::uint64_t old_bytes = bytes_.load(std::memory_order_acquire);
    const std::uint64_t end = geometry_.round_up_cluster(old_bytes);
    const std::uint64_t kept_end = geometry_.round_up_cluster(bytes);
    if (!allow_data_loss) QED_CO_CHECK(co_await check_no_data(bytes, old_bytes));
    // First the end disappears from the guest, then its clusters are freed: a power cut in between
    // leaves entries that no guest offset reaches.
    QED_CO_CHECK(co_await write_size(bytes));
    if (detail::mutant(detail::Mutant::shrink_keeps_entries)) co_return {};
    QED_CO_CHECK(
        co_await parts_.engine.zeroes().mark(GuestOffset{kept_end}, end, State::unallocated));
    co_return {};
}

Task<Result<void>> QedResize::check_no_data(std::uint64_t bytes, std::uint64_t end) {
    for (GuestOffset at{bytes}; at.value < end;) {
        const Result<Mapping> found = co_await context().look_up(at, end - at.value);
        if (!found) co_return std::unexpected(found.error().clone());
        if (found->kind == Mapping::Kind::data) {
            co_return fail(Errc::invalid_argument,
                           fmt::format("{}: shrinking to {} bytes would discard data at {}; pass "
                                       "--shrink to do so",
                                       context().file.name(), bytes, at.value));
        }
        at += found->length;
    }
    co_return {};
}

Task<Result<void>> QedResize::write_size(std::uint64_t bytes) {
    TableCommitter& tables = parts_.engine.tables();
    AsyncMutex::Guard lock = co_await tables.table_lock().lock();
    QED_CO_CHECK(co_await tables.write_deferred());
    Header changed = parts_.header.header();
    changed.image_bytes = bytes;
    if (bytes < bytes_.load(std::memory_order_acquire)) {
        bytes_.store(bytes, std::memory_order_release);
    }
    QED_CO_CHECK(co_await parts_.header.replace(changed));
    QED_CO_CHECK(co_await parts_.flushes.flush());
    bytes_.store(bytes, std::memory_order_release);
    co_return {};
}

}  // namespace qed
