// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

class ClusterAllocator;

/// Flushes of one file, shared: callers that arrive while a flush runs all wait for the next one,
/// which starts after they arrived and therefore covers everything they have written.
class FlushGroup {
public:
    FlushGroup(BlockFile& file, ClusterAllocator& allocator) : file_(file), allocator_(allocator) {}

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

    BlockFile& file_;
    ClusterAllocator& allocator_;
    std::mutex mutex_;  // guards running_ and waiting_
    bool running_ = false;
    WaiterQueue waiting_;
    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> count_{0};
};

}  // namespace qed
