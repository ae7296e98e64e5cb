// SPDX-License-Identifier: Apache-2.0
#include "engine/idle_work.hpp"

#include <algorithm>

#include "base/mutants.hpp"

namespace qed {

Task<Result<void>> IdleWork::quiesce() {
    QED_CO_CHECK(parts_.flushes.check_not_failed());
    if (detail::mutant(detail::Mutant::cut_pending_tail)) QED_CO_CHECK(co_await cut());
    QED_CO_CHECK(co_await make_clean());
    static_cast<void>(co_await cut());  // a file that stays long loses nothing but space
    co_return co_await punch_free_space();
}

Task<Result<void>> IdleWork::make_clean() {
    AsyncMutex::Guard tables = co_await tables_.table_lock().lock();
    QED_CO_CHECK(co_await tables_.write_deferred());
    if (parts_.marker.is_dirty()) co_return co_await parts_.marker.clear_dirty();
    co_return co_await parts_.flushes.flush();
}

// The old content of free clusters is useless, but occupies space on the disk.
Task<Result<void>> IdleWork::punch_free_space() {
    while (parts_.file.can_punch()) {
        const ClusterRun run = allocator_.take_occupied();
        if (run.clusters == 0) break;
        if (co_await punch(run)) {
            allocator_.punched(run);
            continue;
        }
        allocator_.abandon(run);
        break;
    }
    co_return {};
}

// Where the file has holes already, nothing is done.
Task<Result<void>> IdleWork::punch(const ClusterRun& run) {
    const std::uint64_t end = run.offset.value + (run.clusters << cluster_.bits());
    for (std::uint64_t at = run.offset.value; at < end;) {
        const auto data = parts_.file.next_data(at);
        if (!data) co_return std::unexpected(data.error().clone());
        const std::uint64_t begin = std::max(at, cluster_.round_down(data->begin));
        if (begin >= end) break;
        const std::uint64_t data_end = std::max(data->end, begin + 1);
        const std::uint64_t part_end = std::min(end, cluster_.round_up(data_end));
        QED_CO_CHECK(co_await parts_.file.punch(FileOffset{begin}, part_end - begin));
        at = part_end;
    }
    co_return {};
}

}  // namespace qed
