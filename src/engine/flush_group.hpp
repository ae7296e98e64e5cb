// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.hpp"
#include "engine/flush_observer.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// Shares flushes of one file. Callers that arrive while a flush runs wait for the next one, which
/// starts after they arrived and therefore covers everything that they have written.
class FlushGroup {
public:
    explicit FlushGroup(BlockFile& file) : file_(file) {}
    /// Call it before the first flush. The observer outlives the group's last flush.
    void add_observer(FlushObserver& observer) { observers_.push_back(&observer); }

    /// Makes everything durable that was written to the file before this call.
    Task<Result<void>> flush();
    /// The number of flushes of the file.
    std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    /// Set by the first flush that failed: the content of the disk is unknown since then.
    bool has_failed() const noexcept { return failed_.load(std::memory_order_acquire); }
    /// Call it if the file's content is unknown for another reason: every later flush fails.
    void stop() noexcept { failed_.store(true, std::memory_order_release); }
    /// \errors write_stopped  a flush has failed, so that no later one can succeed
    Result<void> check_not_failed() const;

private:
    struct Member : Waiter {
        bool leads = false;
        std::optional<Error> error;
    };
    struct Join;
    void pass_on_lead() noexcept;

    BlockFile& file_;
    std::vector<FlushObserver*> observers_;
    Mutex mutex_;
    bool running_ QED_GUARDED_BY(mutex_) = false;
    WaiterQueue waiting_ QED_GUARDED_BY(mutex_);
    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> count_{0};
};

}  // namespace qed
