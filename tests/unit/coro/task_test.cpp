// SPDX-License-Identifier: Apache-2.0
#include "qed/task.hpp"

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "coro/when_all.hpp"
#include "qed/executor.hpp"
#include "support/failing_new.hpp"
#include "support/replace_new.hpp"
#include "support/sanitized.hpp"

namespace qed {
namespace {

Task<Result<int>> value_of(int value) {
    co_return value;
}

Task<Result<int>> sum_inline(int count) {
    int sum = 0;
    for (int i = 0; i < count; ++i) {
        Result<int> one = co_await value_of(1);
        sum += *one;
    }
    co_return sum;
}

Task<Result<int>> nested(int depth) {
    if (depth == 0) {
        co_await yield();
        co_return 0;
    }
    Result<int> below = co_await nested(depth - 1);
    if (!below) co_return pass(below);
    co_return *below + 1;
}

TEST(TaskTest, ReturnsItsResult) {
    EXPECT_EQ(sync_wait(value_of(7)), 7);
}

TEST(TaskTest, ReturnsMoveOnlyValues) {
    const auto make = []() -> Task<Result<std::unique_ptr<int>>> {
        co_await yield();
        co_return std::make_unique<int>(3);
    };
    Result<std::unique_ptr<int>> made = sync_wait(make());
    ASSERT_TRUE(made);
    EXPECT_EQ(**made, 3);
}

TEST(TaskTest, PassesErrorsUp) {
    const auto failing = []() -> Task<Result<void>> { co_return fail(Errc::no_space, "no room"); };
    const auto outer = [&failing]() -> Task<Result<int>> {
        QED_CO_CHECK(co_await failing());
        co_return 1;
    };
    const Result<int> result = sync_wait(outer());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Errc::no_space);
}

TEST(TaskTest, AMillionInlineAwaitsDoNotGrowTheStack) {
    EXPECT_EQ(sync_wait(sum_inline(1'000'000)), 1'000'000);
}

TEST(TaskTest, SuspendsAndResumesThroughManyLayers) {
    EXPECT_EQ(sync_wait(nested(500)), 500);
}

TEST(TaskTest, IsLazyAndMayBeDroppedUnstarted) {
    int runs = 0;
    const auto body = [&runs]() -> Task<Result<void>> {
        ++runs;
        co_return Result<void>{};
    };
    {
        Task<Result<void>> dropped = body();
        Task<Result<void>> moved = std::move(dropped);
        EXPECT_EQ(runs, 0);
    }
    EXPECT_EQ(runs, 0);
    EXPECT_TRUE(sync_wait(body()));
    EXPECT_EQ(runs, 1);
}

TEST(TaskTest, RunningOutOfMemoryInsideIsAnError) {
    const auto greedy = []() -> Task<Result<void>> {
        const test::FailingNew failing(0);
        const std::vector<char> bytes(100);
        co_return Result<void>{};
    };
    const Result<void> result = sync_wait(greedy());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Errc::out_of_memory);
}

TEST(TaskTest, AFrameThatCannotBeAllocatedIsAnErrorAtEveryLevel) {
    for (long allocations = 0; allocations < 3; ++allocations) {
        Result<int> result = 0;
        {
            const test::FailingNew failing(allocations);
            result = sync_wait(nested(2));  // three frames
        }
        ASSERT_FALSE(result) << allocations;
        EXPECT_EQ(result.error().code(), Errc::out_of_memory);
    }
    EXPECT_EQ(sync_wait(nested(2)), 2);
}

#if !QED_TEST_SANITIZED
TEST(TaskTest, ATaskLikeOneThatRanBeforeAllocatesNothing) {
    ASSERT_EQ(sync_wait(nested(20)), 20);
    test::allocations_until_failure = 0;
    const Result<int> again = sync_wait(nested(20));
    test::allocations_until_failure = -1;
    EXPECT_EQ(again, 20);
}
#endif

/// Suspends, and is woken by a new thread.
struct WokenElsewhere {
    Waiter waiter;
    std::thread& thread;

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) {
        waiter.handle = handle;
        waiter.home = handle.promise().home;
        thread = std::thread([this] { waiter.wake(); });
    }
    void await_resume() const noexcept {}
};

TEST(SyncWaitTest, ResumesOnTheCallingThreadWhenAnotherThreadWakesIt) {
    std::thread waker;
    std::thread::id resumed_on;
    const auto body = [&]() -> Task<Result<void>> {
        for (int i = 0; i < 100; ++i) {
            WokenElsewhere elsewhere{{}, waker};
            co_await elsewhere;
            resumed_on = std::this_thread::get_id();
            waker.join();
        }
        co_return Result<void>{};
    };
    EXPECT_TRUE(sync_wait(body()));
    EXPECT_EQ(resumed_on, std::this_thread::get_id());
}

TEST(SyncWaitTest, ExecutorMayEndWhileTheLastWakerPosts) {
    // Each round ends, and its executor with it, while the last waker may still be in post().
    constexpr int kWakers = 4;
    for (int round = 0; round < 200; ++round) {
        std::vector<std::thread> threads(kWakers);
        int woken = 0;
        const auto one = [&woken](std::thread& thread) -> Task<Result<void>> {
            WokenElsewhere elsewhere{{}, thread};
            co_await elsewhere;
            ++woken;
            co_return Result<void>{};
        };
        int started = 0;
        const auto next = [&]() -> std::optional<Task<Result<void>>> {
            if (started == kWakers) return std::nullopt;
            return one(threads[static_cast<std::size_t>(started++)]);
        };
        const Result<void> done = sync_wait(when_all(kWakers, next));
        for (std::thread& thread : threads)
            thread.join();
        EXPECT_TRUE(done.has_value());
        EXPECT_EQ(woken, kWakers);
    }
}

TEST(SyncWaitTest, ReadyWaitersResumeInPostOrder) {
    std::vector<int> order;
    const auto one = [&order](int number) -> Task<Result<void>> {
        for (int i = 0; i < 3; ++i) {
            co_await yield();
            order.push_back(number);
        }
        co_return Result<void>{};
    };
    int started = 0;
    const auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (started == 3) return std::nullopt;
        return one(started++);
    };
    EXPECT_TRUE(sync_wait(when_all(3, next)).has_value());
    EXPECT_EQ(order, (std::vector{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

TEST(WaiterQueueTest, IsFirstInFirstOut) {
    WaiterQueue queue;
    Waiter waiters[3];
    EXPECT_EQ(queue.pop(), nullptr);
    queue.push(waiters[0]);
    queue.push(waiters[1]);
    EXPECT_EQ(queue.pop(), &waiters[0]);
    queue.push(waiters[2]);
    EXPECT_EQ(queue.pop(), &waiters[1]);
    EXPECT_EQ(queue.pop(), &waiters[2]);
    EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace qed
