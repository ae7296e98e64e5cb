// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "qed/error.hpp"
#include "qed/executor.hpp"
#include "qed/task.hpp"

namespace qed {

namespace detail {

/// Shared by the lanes of one when_all(). All lanes run on one executor, so nothing is atomic.
struct FanOut {
    Executor* home = nullptr;
    std::coroutine_handle<> parent;
    std::size_t running = 0;
    bool exhausted = false;
    std::optional<Error> first_error;

    void fail_with(Error error) noexcept {
        if (!first_error) first_error.emplace(std::move(error));
    }
};

/// One of the concurrent coroutines. Owned by when_all(), which outlives it.
class Lane {
public:
    struct promise_type : PooledFrame {
        Executor* home = nullptr;
        FanOut* shared = nullptr;

        template <class Next>
        promise_type(FanOut& fan_out, Next&) noexcept : home(fan_out.home), shared(&fan_out) {}
        Lane get_return_object() noexcept {
            return Lane(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        static Lane get_return_object_on_allocation_failure() noexcept { return Lane({}); }

        struct FinalAwaiter {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> handle) const noexcept {
                FanOut* fan_out = handle.promise().shared;
                // The resumed parent may destroy this frame, so nothing touches it afterwards.
                if (--fan_out->running == 0) fan_out->parent.resume();
            }
            void await_resume() const noexcept {}
        };
        std::suspend_always initial_suspend() const noexcept { return {}; }
        FinalAwaiter final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() noexcept {
            try {
                throw;
            } catch (const std::bad_alloc&) {
                shared->fail_with(Error::out_of_memory());
            } catch (...) {
                std::abort();
            }
        }
    };

    explicit Lane(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    Lane(Lane&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Lane& operator=(Lane&&) = delete;
    ~Lane() {
        if (handle_) handle_.destroy();
    }
    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
    void start() noexcept { handle_.resume(); }

private:
    std::coroutine_handle<promise_type> handle_;
};

template <class Next>
Lane run_lane(FanOut& shared, Next& next) {
    while (!shared.exhausted && !shared.first_error) {
        std::optional<Task<Result<void>>> task = next();
        if (!task) {
            shared.exhausted = true;
            break;
        }
        Task<Result<void>>& started = *task;  // g++ 12 copies the operand of `co_await *task`
        Result<void> done = co_await started;
        if (!done) shared.fail_with(std::move(done.error()));
    }
}

/// Starts every lane, and resumes the awaiting coroutine when the last one has ended.
struct StartLanes {
    FanOut& shared;
    std::vector<Lane>& lanes;

    bool await_ready() const noexcept { return false; }
    bool await_suspend(std::coroutine_handle<> parent) noexcept {
        shared.parent = parent;
        shared.running = lanes.size() + 1;  // one for this loop: no lane resumes the parent in it
        for (Lane& lane : lanes)
            lane.start();
        return --shared.running != 0;
    }
    void await_resume() const noexcept {}
};

struct CurrentExecutor {
    Executor* home = nullptr;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        home = handle.promise().home;
        return false;
    }
    Executor* await_resume() const noexcept { return home; }
};

}  // namespace detail

/// Runs tasks concurrently on the executor of the awaiting coroutine, at most `limit` at a time.
///
/// \param next  called for one task after another, `std::optional<Task<Result<void>>>()`, until it
///              returns nothing or a task has failed; on the home executor only, so it needs no
///              lock. Taken by reference: the caller's object must outlive the await.
/// \errors the first failure, after every started task has ended; out_of_memory
/// \cost   `limit` coroutine frames in all, besides those of the tasks
template <class Next>
Task<Result<void>> when_all(std::size_t limit, Next& next) {
    detail::FanOut shared;
    shared.home = co_await detail::CurrentExecutor{};
    std::vector<detail::Lane> lanes;
    lanes.reserve(limit);
    for (std::size_t i = 0; i < limit; ++i) {
        detail::Lane lane = detail::run_lane(shared, next);
        if (!lane) break;  // fewer lanes do the same work
        lanes.push_back(std::move(lane));
    }
    if (lanes.empty()) co_return std::unexpected(Error::out_of_memory());
    detail::StartLanes start{shared, lanes};
    co_await start;
    if (shared.first_error) co_return std::unexpected(std::move(*shared.first_error));
    co_return {};
}

}  // namespace qed
