// SPDX-License-Identifier: Apache-2.0
#include "base/mutex.hpp"

#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace qed {
namespace {

/// A counter that several threads increment.
class Counter {
public:
    void add(int amount) QED_EXCLUDES(mutex_) {
        {
            const ScopedLock lock(mutex_);
            sum_ += amount;
        }
        changed_.notify_all();
    }
    int wait_for_sum(int wanted) QED_EXCLUDES(mutex_) {
        const ScopedLock lock(mutex_);
        while (sum_ < wanted)
            changed_.wait(mutex_);
        return sum_;
    }

private:
    Mutex mutex_;
    ConditionVariable changed_;
    int sum_ QED_GUARDED_BY(mutex_) = 0;
};

TEST(Mutex, IsHeldByOneThreadAtATime) {
    constexpr int kThreads = 4;
    constexpr int kTimes = 1000;
    Counter counter;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&counter] {
            for (int time = 0; time < kTimes; ++time)
                counter.add(1);
        });
    }
    EXPECT_EQ(counter.wait_for_sum(kThreads * kTimes), kThreads * kTimes);
    for (std::thread& thread : threads)
        thread.join();
}

bool is_free(Mutex& mutex) {
    bool was_free = false;
    // A new thread, because trying a mutex that the same thread holds is undefined.
    std::thread([&mutex, &was_free] {
        if (!mutex.try_lock()) return;
        was_free = true;
        mutex.unlock();
    }).join();
    return was_free;
}

TEST(ScopedLock, HoldsToTheEndOfTheBlock) {
    Mutex mutex;
    {
        const ScopedLock lock(mutex);
        EXPECT_FALSE(is_free(mutex));
    }
    EXPECT_TRUE(is_free(mutex));
}

TEST(ReleasableLock, LetsGoEarlyAndTakesAgain) {
    Mutex mutex;
    {
        ReleasableLock lock(mutex);
        EXPECT_FALSE(is_free(mutex));
        lock.unlock();
        EXPECT_TRUE(is_free(mutex));
        lock.lock();
        EXPECT_FALSE(is_free(mutex));
    }
    EXPECT_TRUE(is_free(mutex));
    {
        ReleasableLock lock(mutex);
        lock.unlock();
    }
    EXPECT_TRUE(is_free(mutex));
}

TEST(ConditionVariable, HoldsTheMutexAfterAWait) {
    Mutex mutex;
    ConditionVariable changed;
    const ScopedLock lock(mutex);
    EXPECT_FALSE(changed.wait_until(mutex, std::chrono::steady_clock::time_point{}));
    EXPECT_FALSE(is_free(mutex));
    EXPECT_FALSE(changed.wait_for(mutex, std::chrono::nanoseconds(-1)));
    EXPECT_FALSE(is_free(mutex));
}

}  // namespace
}  // namespace qed
