// SPDX-License-Identifier: Apache-2.0
#include "qed/executor.hpp"

namespace qed {

void BlockingExecutor::post(Waiter& waiter) noexcept {
    // Notified under the lock: the owner may destroy this executor as soon as it has the waiter,
    // and it cannot have it before the lock is free.
    const std::lock_guard lock(mutex_);
    ready_.push(waiter);
    posted_.notify_one();
}

void BlockingExecutor::run_until(const bool& done) {
    while (!done) {
        Waiter* waiter = nullptr;
        {
            std::unique_lock lock(mutex_);
            posted_.wait(lock, [this] { return !ready_.empty(); });
            waiter = ready_.pop();
        }
        waiter->handle.resume();
    }
}

}  // namespace qed
