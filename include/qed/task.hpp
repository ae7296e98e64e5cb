// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <cstdlib>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "qed/error.hpp"
#include "qed/executor.hpp"
#include "qed/frame_pool.hpp"

namespace qed {

template <class T>
class Task;

namespace detail {

template <class T>
inline constexpr bool kIsResult = false;
template <class T>
inline constexpr bool kIsResult<Result<T>> = true;

/// State of every coroutine of libqed: its executor, the coroutine that awaits it, and whether it
/// has ended. Parent and child share one executor, so no member needs to be atomic.
struct PromiseBase : PooledFrame {
    Executor* home = nullptr;
    std::coroutine_handle<> parent;
    bool done = false;
    bool parent_suspended = false;

    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
            PromiseBase& self = handle.promise();
            self.done = true;
            // The resumed parent may destroy this frame, so nothing touches it after resume().
            if (self.parent_suspended) self.parent.resume();
        }
        void await_resume() const noexcept {}
    };

    std::suspend_always initial_suspend() const noexcept { return {}; }
    FinalAwaiter final_suspend() const noexcept { return {}; }
};

template <class T>
struct Promise : PromiseBase {
    std::optional<T> value;

    Task<T> get_return_object() noexcept;
    static Task<T> get_return_object_on_allocation_failure() noexcept;
    void return_value(T result) { value.emplace(std::move(result)); }
    void unhandled_exception() noexcept {
        if constexpr (kIsResult<T>) {
            try {
                throw;
            } catch (const std::bad_alloc&) {
                value.emplace(std::unexpected(Error::out_of_memory()));
                return;
            } catch (...) {
                std::abort();
            }
        }
        std::abort();
    }
};

}  // namespace detail

/// A lazy coroutine: it starts when it is awaited, on the executor of the coroutine that awaits it.
///
/// Every Task is either awaited once or destroyed without having been started.
/// Completion allocates nothing and never uses symmetric transfer, so long loops of inline
/// completions do not grow the stack. T is a Result, so that exhausted memory becomes an error.
template <class T>
class [[nodiscard]] Task {
public:
    using promise_type = detail::Promise<T>;
    using Handle = std::coroutine_handle<promise_type>;
    static_assert(detail::kIsResult<T>, "a Task returns a Result");

    explicit Task(Handle handle) noexcept : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            if (handle_) handle_.destroy();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Task() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() const noexcept { return !handle_; }
    template <class ParentPromise>
    bool await_suspend(std::coroutine_handle<ParentPromise> parent) noexcept {
        return start(parent.promise().home, parent);
    }
    T await_resume() noexcept {
        if (!handle_) return std::unexpected(Error::out_of_memory());
        return std::move(*handle_.promise().value);
    }

    /// Starts the task on `home` for a caller that is not a coroutine. The caller runs `home` until
    /// is_done() and then calls take_result(). Use this instead of awaiting the task.
    void start_on(Executor& home) noexcept {
        if (handle_) start(&home, std::noop_coroutine());
    }
    /// Changes only on the executor's thread. The reference is valid as long as the task.
    const bool& is_done() const noexcept {
        static constexpr bool kNothingToRun = true;
        return handle_ ? handle_.promise().done : kNothingToRun;
    }
    T take_result() noexcept { return await_resume(); }

    /// Starts the coroutine on `home`. Returns true if it is suspended and will resume `parent`
    /// when it ends, false if it has ended.
    bool start(Executor* home, std::coroutine_handle<> parent) noexcept {
        promise_type& promise = handle_.promise();
        promise.home = home;
        promise.parent = parent;
        handle_.resume();
        if (promise.done) return false;
        promise.parent_suspended = true;
        return true;
    }

private:
    Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
    return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

template <class T>
Task<T> detail::Promise<T>::get_return_object_on_allocation_failure() noexcept {
    return Task<T>(typename Task<T>::Handle{});
}

/// Runs `task` on the calling thread and returns its result. Blocks while the task waits for other
/// threads. Must not be called from a coroutine.
template <class T>
T sync_wait(Task<T> task) {
    BlockingExecutor executor;
    task.start_on(executor);
    executor.run_until(task.is_done());
    return task.take_result();
}

}  // namespace qed

/// Leaves a coroutine with the error of a failed Result<void> expression.
#define QED_CO_CHECK(expression)                                       \
    do {                                                               \
        if (auto qed_checked = (expression); !qed_checked)             \
            co_return std::unexpected(std::move(qed_checked.error())); \
    } while (false)
