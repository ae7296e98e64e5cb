// SPDX-License-Identifier: Apache-2.0
#include "coro/async_mutex.hpp"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "coro/when_all.hpp"
#include "qed/task.hpp"

namespace qed {
namespace {

TEST(AsyncMutexTest, IsHeldByOneAtATime) {
    AsyncMutex mutex;
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock());
    mutex.unlock();
}

TEST(AsyncMutexTest, MovedGuardUnlocksOnce) {
    AsyncMutex mutex;
    const auto body = [&mutex]() -> Task<Result<bool>> {
        AsyncMutex::Guard guard = co_await mutex.lock();
        AsyncMutex::Guard moved = std::move(guard);
        guard.unlock();
        const bool still_held = !mutex.try_lock();
        moved.unlock();
        moved.unlock();
        const bool is_free = mutex.try_lock();
        mutex.unlock();
        co_return still_held&& is_free;
    };
    EXPECT_EQ(sync_wait(body()), true);
}

Task<Result<void>> take_turns(AsyncMutex& mutex, std::vector<int>& order, int id) {
    for (int i = 0; i < 3; ++i) {
        AsyncMutex::Guard guard = co_await mutex.lock();
        order.push_back(id);
        co_await yield();  // the others queue up meanwhile
    }
    co_return Result<void>{};
}

TEST(AsyncMutexTest, ServesInTheOrderOfArrival) {
    AsyncMutex mutex;
    std::vector<int> order;
    const auto body = [&]() -> Task<Result<void>> {
        int id = 0;
        auto next = [&]() -> std::optional<Task<Result<void>>> {
            if (id == 4) return std::nullopt;
            return take_turns(mutex, order, id++);
        };
        Result<void> done = co_await when_all(4, next);
        co_return done;
    };
    EXPECT_TRUE(sync_wait(body()));
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}));
}

struct Shared {
    AsyncMutex mutex;
    std::uint64_t counter = 0;  // deliberately not atomic: the mutex protects it
    std::atomic<int> wrong_thread{0};
};

Task<Result<void>> count_up(Shared& shared, int rounds) {
    const auto home = std::this_thread::get_id();
    for (int i = 0; i < rounds; ++i) {
        AsyncMutex::Guard guard = co_await shared.mutex.lock();
        ++shared.counter;
        if (i % 16 == 0) co_await yield();
        if (std::this_thread::get_id() != home) ++shared.wrong_thread;
    }
    co_return Result<void>{};
}

TEST(AsyncMutexTest, ThreadsExcludeEachOtherAndEachResumesAtHome) {
    constexpr int kThreads = 4;
    constexpr int kRounds = 3000;
    Shared shared;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&shared] { EXPECT_TRUE(sync_wait(count_up(shared, kRounds))); });
    }
    std::ranges::for_each(threads, &std::thread::join);
    EXPECT_EQ(shared.counter, std::uint64_t{kThreads} * kRounds);
    EXPECT_EQ(shared.wrong_thread, 0);
}

}  // namespace
}  // namespace qed
