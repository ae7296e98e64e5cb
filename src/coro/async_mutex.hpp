// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>
#include <utility>

#include "qed/executor.hpp"

namespace qed {

/// A mutex for coroutines, which may be held across co_await. Waiters get it in order of arrival.
///
/// Thread-safety: coroutines of any executors and threads may share one. A coroutine that waited
/// resumes on its own home executor, never inside the unlock() of another.
/// Cost: one atomic exchange each for lock and unlock without waiters; never allocates.
class AsyncMutex {
public:
    /// Holds the lock until it is destroyed.
    class [[nodiscard]] Guard {
    public:
        Guard() = default;
        explicit Guard(AsyncMutex& held) noexcept : mutex_(&held) {}
        Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
        Guard& operator=(Guard&& other) noexcept {
            std::swap(mutex_, other.mutex_);
            return *this;
        }
        ~Guard() { unlock(); }
        void unlock() noexcept {
            if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->unlock();
        }

    private:
        AsyncMutex* mutex_ = nullptr;
    };

    class [[nodiscard]] LockAwaiter {
    public:
        explicit LockAwaiter(AsyncMutex& mutex) noexcept : mutex_(mutex) {}
        bool await_ready() const noexcept { return mutex_.try_lock(); }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
            waiter_.handle = handle;
            waiter_.home = handle.promise().home;
            return mutex_.enqueue(waiter_);
        }
        Guard await_resume() const noexcept { return Guard(mutex_); }

    private:
        AsyncMutex& mutex_;
        Waiter waiter_;
    };

    AsyncMutex() = default;
    AsyncMutex(const AsyncMutex&) = delete;
    AsyncMutex& operator=(const AsyncMutex&) = delete;

    /// `AsyncMutex::Guard guard = co_await mutex.lock();`
    LockAwaiter lock() noexcept { return LockAwaiter(*this); }
    bool try_lock() noexcept;
    /// Passes the lock to the oldest waiter, by posting it to its home executor.
    void unlock() noexcept;

private:
    /// True: the waiter is queued, and will own the lock when it resumes. False: it owns it now.
    bool enqueue(Waiter& waiter) noexcept;

    // kFree, kHeld, or the newest waiter that arrived since the owner last took the list; each
    // links to the next older one.
    std::atomic<Waiter*> state_{nullptr};
    Waiter* oldest_ = nullptr;  // in order of arrival; only the owner of the lock uses it
};

}  // namespace qed
