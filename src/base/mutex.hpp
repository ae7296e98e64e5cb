// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/thread_annotations.hpp"

namespace qed {

// Mutexes that clang's thread-safety analysis understands; the compiler of the `clang` preset then
// refuses code that touches guarded memory without the lock. There is no other mutex in libqed.
//
//     class Counter {
//     public:
//         void add(int amount) {
//             const ScopedLock lock(mutex_);
//             add_locked(amount);
//         }
//     private:
//         void add_locked(int amount) QED_REQUIRES(mutex_) { sum_ += amount; }
//         Mutex mutex_;
//         int sum_ QED_GUARDED_BY(mutex_) = 0;
//     };
//
// - Each member that a mutex guards has QED_GUARDED_BY; members that need no lock (constants,
//   atomics, members of one thread) do not. No comment "guards ..." is needed as well.
// - A function whose caller must hold the lock has QED_REQUIRES in its declaration; a function that
//   takes a lock which its caller might hold has QED_EXCLUDES.
// - Wait in a loop, `while (!is_ready_) changed_.wait(mutex_);`. A predicate would be a lambda, and
//   the analysis treats a lambda as a separate function that holds no lock. If one is needed
//   nevertheless, write `QED_REQUIRES(mutex_)` after its parameter list.
// - A lock of another object is named by the expression that reaches it:
// QED_REQUIRES(owner.mutex_).
//   If it is private, a member that returns it with QED_RETURN_CAPABILITY makes it known.
// - A mutex guards memory for a few lines and never spans `co_await`; waiting is AsyncMutex.

class QED_CAPABILITY("mutex") Mutex {
public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    void lock() QED_ACQUIRE() { mutex_.lock(); }
    void unlock() QED_RELEASE() { mutex_.unlock(); }
    bool try_lock() QED_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

private:
    friend class ConditionVariable;
    std::mutex mutex_;
};

/// Holds a mutex to the end of the block.
class QED_SCOPED_CAPABILITY ScopedLock {
public:
    explicit ScopedLock(Mutex& mutex) QED_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~ScopedLock() QED_RELEASE() { mutex_.unlock(); }
    ScopedLock(const ScopedLock&) = delete;
    ScopedLock& operator=(const ScopedLock&) = delete;

private:
    Mutex& mutex_;
};

/// A ScopedLock that can release the mutex before the end of the block, and take it again.
class QED_SCOPED_CAPABILITY ReleasableLock {
public:
    explicit ReleasableLock(Mutex& mutex) QED_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~ReleasableLock() QED_RELEASE() {
        if (is_held_) mutex_.unlock();
    }
    ReleasableLock(const ReleasableLock&) = delete;
    ReleasableLock& operator=(const ReleasableLock&) = delete;

    void unlock() QED_RELEASE() {
        is_held_ = false;
        mutex_.unlock();
    }
    void lock() QED_ACQUIRE() {
        mutex_.lock();
        is_held_ = true;
    }

private:
    Mutex& mutex_;
    bool is_held_ = true;
};

/// Waits for a change by another thread under a mutex. A wait may end without a change.
class ConditionVariable {
public:
    void wait(Mutex& mutex) QED_REQUIRES(mutex) {
        std::unique_lock lock(mutex.mutex_, std::adopt_lock);
        changed_.wait(lock);
        lock.release();
    }
    /// \returns false after the deadline
    template <class Clock, class Duration>
    bool wait_until(Mutex& mutex, std::chrono::time_point<Clock, Duration> time)
        QED_REQUIRES(mutex) {
        std::unique_lock lock(mutex.mutex_, std::adopt_lock);
        const std::cv_status status = changed_.wait_until(lock, time);
        lock.release();
        return status == std::cv_status::no_timeout;
    }
    template <class Rep, class Period>
    bool wait_for(Mutex& mutex, std::chrono::duration<Rep, Period> time) QED_REQUIRES(mutex) {
        std::unique_lock lock(mutex.mutex_, std::adopt_lock);
        const std::cv_status status = changed_.wait_for(lock, time);
        lock.release();
        return status == std::cv_status::no_timeout;
    }
    void notify_one() noexcept { changed_.notify_one(); }
    void notify_all() noexcept { changed_.notify_all(); }

private:
    std::condition_variable changed_;
};

}  // namespace qed
