// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "qed/executor.hpp"
#include "qed/task.hpp"

namespace qed::test {

/// Resumes coroutines only when the test says so, in the order they were posted. One thread.
class StepExecutor final : public Executor {
public:
    void post(Waiter& waiter) noexcept override { ready_.push(waiter); }
    /// Resumes until nobody is ready any more.
    void run() {
        while (Waiter* waiter = ready_.pop())
            waiter->handle.resume();
    }

private:
    WaiterQueue ready_;
};

/// A task that runs on a StepExecutor while the test goes on. It ends before this is destroyed.
template <class T>
class Running {
public:
    Running(StepExecutor& executor, Task<T> task)
        : state_(std::make_unique<State>(std::move(task))) {
        state_->root = detail::run_root(state_->task, state_->result, state_->done);
        state_->root.handle.promise().home = &executor;
        state_->root.handle.resume();
    }
    Running(Running&&) noexcept = default;
    Running& operator=(Running&&) noexcept = default;
    ~Running() {
        if (state_ != nullptr) state_->root.handle.destroy();
    }
    bool done() const { return state_->done; }
    T& result() { return *state_->result; }

private:
    struct State {
        explicit State(Task<T> started) : task(std::move(started)) {}
        Task<T> task;
        std::optional<T> result;
        bool done = false;
        detail::Root root;
    };
    std::unique_ptr<State> state_;
};

}  // namespace qed::test
