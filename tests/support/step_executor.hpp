// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <utility>

#include "qed/executor.hpp"
#include "qed/task.hpp"

namespace qed::test {

/// Resumes coroutines only when the test calls it, in the order they were posted. One thread.
class StepExecutor final : public Executor {
public:
    void post(Waiter& waiter) noexcept override { ready_.push(waiter); }
    /// Resumes waiters until none is ready.
    void run() {
        while (Waiter* waiter = ready_.pop())
            waiter->handle.resume();
    }

private:
    WaiterQueue ready_;
};

/// A task that runs on a StepExecutor while the test continues. It must end before this is
/// destroyed.
template <class T>
class Running {
public:
    Running(StepExecutor& executor, Task<T> task) : task_(std::move(task)) {
        task_.start_on(executor);
    }
    bool done() const { return task_.is_done(); }
    T& result() {
        if (!result_) result_.emplace(task_.take_result());
        return *result_;
    }

private:
    Task<T> task_;
    std::optional<T> result_;
};

}  // namespace qed::test
