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

namespace qed {

template <class T>
class Task;

namespace detail {

template <class T>
inline constexpr bool kIsResult = false;
template <class T>
inline constexpr bool kIsResult<Result<T>> = true;

/// What every coroutine of libqed knows: where it runs, who awaits it, and whether it has ended.
/// Parent and child share one executor, so none of this needs to be atomic.
struct PromiseBase {
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
            // The parent may destroy this frame while it runs: nothing is touched after resume().
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

/// A lazy coroutine: it starts when it is awaited, on the executor of the one who awaits it.
///
/// Every Task that is created is awaited once, or destroyed without having been started.
/// Completion costs no allocation and never uses symmetric transfer, so long loops of inline
/// completions do not grow the stack. T is a Result: running out of memory becomes its error.
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

    /// Starts the coroutine on `home`. True: it is suspended and will resume `parent` when it ends.
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

namespace detail {

/// The coroutine at the bottom of a chain of awaits: tells its starter when the task has ended.
struct Root {
    struct promise_type {
        Executor* home = nullptr;
        Root get_return_object() noexcept {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        static Root get_return_object_on_allocation_failure() noexcept { return {}; }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
};

template <class T>
Root run_root(Task<T>& task, std::optional<T>& result, bool& done) {
    result.emplace(co_await task);
    done = true;
}

}  // namespace detail

/// Runs `task` on the calling thread and returns its result; blocks while it waits for others.
/// Not to be called from inside a coroutine.
template <class T>
T sync_wait(Task<T> task) {
    BlockingExecutor executor;
    std::optional<T> result;
    bool done = false;
    detail::Root root = detail::run_root(task, result, done);
    if (!root.handle) return std::unexpected(Error::out_of_memory());
    root.handle.promise().home = &executor;
    root.handle.resume();
    executor.run_until(done);
    root.handle.destroy();
    return std::move(*result);
}

}  // namespace qed

/// Leaves a coroutine with the error of a failed Result<void> expression.
#define QED_CO_CHECK(expression)                                       \
    do {                                                               \
        if (auto qed_checked = (expression); !qed_checked)             \
            co_return std::unexpected(std::move(qed_checked.error())); \
    } while (false)
