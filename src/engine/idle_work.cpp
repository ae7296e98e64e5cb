// SPDX-License-Identifier: Apache-2.0
#include "engine/idle_work.hpp"

namespace qed {

Task<Result<void>> IdleWork::quiesce() {
    QED_CO_CHECK(parts_.flushes.check_not_failed());
    QED_CO_CHECK(co_await make_clean());
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
        const ClusterRun run = parts_.allocator.take_unpunched();
        if (run.clusters == 0) break;
        const Result<void> done =
            co_await parts_.file.punch(run.offset, run.clusters << cluster_.bits());
        parts_.allocator.punched(run);
        if (!done) break;  // a failed punch loses only space
    }
    co_return {};
}

Task<Result<void>> IdleWork::finish() {
    if (parts_.flushes.has_failed()) co_return {};
    co_return co_await parts_.extender.cut(parts_.allocator.trim_end());
}

}  // namespace qed
