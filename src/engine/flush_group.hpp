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

/// Flushes of one file, shared: callers that arrive while a flush runs all wait for the next one,
/// which starts after they arrived and therefore covers everything they have written.
class FlushGroup {
public:
    explicit FlushGroup(BlockFile& file) : file_(file) {}
    /// Before the first flush; the observer outlives the group's last flush.
    void add_observer(FlushObserver& observer) { observers_.push_back(&observer); }

    /// Everything written to the file before this call is durable when it succeeds.
    Task<Result<void>> flush();
    /// Flushes done on the file.
    std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    /// The first flush that failed has set this: what is on disk since then is unknown.
    bool has_failed() const noexcept { return failed_.load(std::memory_order_acquire); }
    /// What is in the file is unknown for another reason: no flush succeeds any more.
    void stop() noexcept { failed_.store(true, std::memory_order_release); }
    /// \errors write_stopped  a flush has failed, so that none will succeed any more
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
