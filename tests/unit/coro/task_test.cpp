// SPDX-License-Identifier: Apache-2.0
#include "qed/task.hpp"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "qed/executor.hpp"
#include "support/failing_new.hpp"
#include "support/replace_new.hpp"

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
    for (long allocations = 0; allocations < 4; ++allocations) {
        Result<int> result = 0;
        {
            const test::FailingNew failing(allocations);
            result = sync_wait(nested(2));  // frames: three of nested(), one of sync_wait()
        }
        ASSERT_FALSE(result) << allocations;
        EXPECT_EQ(result.error().code(), Errc::out_of_memory);
    }
    EXPECT_EQ(sync_wait(nested(2)), 2);
}

/// Suspends, and is woken by a thread of its own.
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
