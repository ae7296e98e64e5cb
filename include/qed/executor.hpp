// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>

#include "qed/api.hpp"

namespace qed {

class Executor;
class IoLoop;

/// A suspended coroutine and its home executor. Lives in the coroutine's own frame, so that
/// waiting allocates nothing.
struct Waiter {
    Waiter* next = nullptr;
    std::coroutine_handle<> handle;
    Executor* home = nullptr;

    /// Posts the coroutine to its home executor. Callable from any thread. The coroutine may resume
    /// and destroy the waiter before this returns.
    inline void wake() noexcept;
};

/// First-in-first-out list of waiters. Not thread-safe; allocates nothing.
class WaiterQueue {
public:
    bool empty() const noexcept { return head_ == nullptr; }
    void push(Waiter& waiter) noexcept {
        waiter.next = nullptr;
        (tail_ != nullptr ? tail_->next : head_) = &waiter;
        tail_ = &waiter;
    }
    /// The oldest waiter, or null.
    Waiter* pop() noexcept {
        Waiter* first = head_;
        if (first != nullptr) {
            head_ = first->next;
            if (head_ == nullptr) tail_ = nullptr;
        }
        return first;
    }

private:
    Waiter* head_ = nullptr;
    Waiter* tail_ = nullptr;
};

/// Resumes coroutines. Only its home executor resumes a coroutine, so the code between two
/// suspensions needs no lock against the coroutine's parents and children.
class QED_API Executor {
public:
    Executor() = default;
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;
    virtual ~Executor() = default;

    /// Queues a waiter for resumption. Callable from any thread.
    virtual void post(Waiter& waiter) noexcept = 0;
    /// The asynchronous I/O of this executor, or null if I/O blocks the calling thread.
    virtual IoLoop* io_loop() noexcept { return nullptr; }
};

inline void Waiter::wake() noexcept {
    home->post(*this);
}

/// The executor inside sync_wait(): the calling thread runs its coroutine, and sleeps while the
/// coroutine waits for other threads.
class QED_API BlockingExecutor final : public Executor {
public:
    void post(Waiter& waiter) noexcept override;
    /// Resumes posted waiters until `done` is true. Only the owning thread may call this, and only
    /// coroutines that this executor resumes may change `done`.
    void run_until(const bool& done);

private:
    void take_posted() noexcept;

    // The newest waiter posted since the owner last took the list; each links to the next older
    // one. Holds a marker instead while the owner sleeps.
    std::atomic<Waiter*> posted_{nullptr};
    WaiterQueue ready_;  // oldest first; used by the owner only
};

/// `co_await yield()`: lets everything else that is ready on this executor run first.
struct Yield {
    Waiter waiter;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        waiter.handle = handle;
        waiter.home = handle.promise().home;
        waiter.wake();
    }
    void await_resume() const noexcept {}
};
inline Yield yield() {
    return {};
}

}  // namespace qed
