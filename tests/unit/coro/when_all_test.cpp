// SPDX-License-Identifier: Apache-2.0
#include "coro/when_all.hpp"

#include <new>
#include <optional>

#include <gtest/gtest.h>

#include "qed/task.hpp"

namespace qed {
namespace {

struct Work {
    int started = 0;
    int ended = 0;
    int running = 0;
    int most_running = 0;
    int fails_at = -1;
    int asked_after_end = 0;
};

Task<Result<void>> job(Work& work, int id) {
    ++work.started;
    work.most_running = std::max(work.most_running, ++work.running);
    for (int i = 0; i <= id % 3; ++i)
        co_await yield();
    --work.running;
    ++work.ended;
    if (work.fails_at >= 0 && id >= work.fails_at) {
        co_return fail(Errc::io_error, "job " + std::to_string(id));
    }
    co_return Result<void>{};
}

Task<Result<void>> run_jobs(Work& work, std::size_t limit, int count) {
    int id = 0;
    bool ended = false;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (ended) ++work.asked_after_end;
        ended = id == count;
        if (ended) return std::nullopt;
        return job(work, id++);
    };
    Result<void> done = co_await when_all(limit, next);
    co_return done;
}

TEST(WhenAllTest, RunsEveryTaskAndNoMoreThanTheLimitAtOnce) {
    Work work;
    EXPECT_TRUE(sync_wait(run_jobs(work, 4, 50)));
    EXPECT_EQ(work.ended, 50);
    EXPECT_EQ(work.most_running, 4);
    EXPECT_EQ(work.asked_after_end, 0);
}

TEST(WhenAllTest, HasNothingToDoForAnEmptySource) {
    Work work;
    EXPECT_TRUE(sync_wait(run_jobs(work, 8, 0)));
    EXPECT_EQ(work.started, 0);
    EXPECT_EQ(work.asked_after_end, 0);
}

TEST(WhenAllTest, RunsFewerTasksThanTheLimit) {
    Work work;
    EXPECT_TRUE(sync_wait(run_jobs(work, 8, 3)));
    EXPECT_EQ(work.ended, 3);
}

TEST(WhenAllTest, ReportsTheFirstErrorAfterEveryStartedTaskHasEnded) {
    Work work;
    work.fails_at = 10;
    const Result<void> result = sync_wait(run_jobs(work, 4, 50));
    ASSERT_FALSE(result);
    // Jobs wait id % 3 + 1 rounds: 12 and 13 start at the latest while 10 and 11 run.
    EXPECT_EQ(result.error().message().substr(0, 5), "job 1");
    EXPECT_EQ(work.running, 0);
    EXPECT_EQ(work.ended, work.started);
    EXPECT_LT(work.started, 50);
}

TEST(WhenAllTest, TasksThatEndInlineNeedNoExecutor) {
    int ran = 0;
    const auto body = [&ran]() -> Task<Result<void>> {
        const auto quick = [&ran]() -> Task<Result<void>> {
            ++ran;
            co_return Result<void>{};
        };
        int left = 100'000;
        auto next = [&]() -> std::optional<Task<Result<void>>> {
            if (left-- == 0) return std::nullopt;
            return quick();
        };
        Result<void> done = co_await when_all(16, next);
        co_return done;
    };
    EXPECT_TRUE(sync_wait(body()));
    EXPECT_EQ(ran, 100'000);
}

TEST(WhenAllTest, ASourceThatRunsOutOfMemoryIsAnError) {
    const auto body = []() -> Task<Result<void>> {
        auto next = []() -> std::optional<Task<Result<void>>> { throw std::bad_alloc(); };
        Result<void> done = co_await when_all(2, next);
        co_return done;
    };
    const Result<void> result = sync_wait(body());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Errc::out_of_memory);
}

}  // namespace
}  // namespace qed
