// SPDX-License-Identifier: Apache-2.0
#include "coro/range_lock.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "coro/when_all.hpp"
#include "qed/task.hpp"

namespace qed {
namespace {

using Mode = RangeLock::Mode;

struct Step {
    std::uint64_t begin;
    std::uint64_t end;
    Mode mode;
};

Task<Result<void>> hold(RangeLock& lock, Step step, std::string& log, char name) {
    RangeLock::Claim claim(lock, step.begin, step.end, step.mode);
    co_await claim;
    log += name;
    for (int i = 0; i < 3; ++i)
        co_await yield();
    log += static_cast<char>(name - 'a' + 'A');
    co_return Result<void>{};
}

/// Starts the steps in order on one thread. The log has a small letter for each start and a capital
/// letter for each end.
std::string run(const std::vector<Step>& steps) {
    RangeLock lock;
    std::string log;
    const auto body = [&]() -> Task<Result<void>> {
        std::size_t i = 0;
        auto next = [&]() -> std::optional<Task<Result<void>>> {
            if (i == steps.size()) return std::nullopt;
            const auto name = static_cast<char>('a' + i);
            return hold(lock, steps[i++], log, name);
        };
        Result<void> done = co_await when_all(steps.size(), next);
        co_return done;
    };
    EXPECT_TRUE(sync_wait(body()));
    return log;
}

TEST(RangeLockTest, SharedClaimsGoTogether) {
    EXPECT_EQ(run({{0, 10, Mode::shared}, {5, 15, Mode::shared}}), "abAB");
}

TEST(RangeLockTest, AnExclusiveClaimTakesTurnsWithOthersOnItsBytes) {
    EXPECT_EQ(run({{0, 10, Mode::exclusive}, {9, 15, Mode::shared}}), "aAbB");
    EXPECT_EQ(run({{0, 10, Mode::shared}, {9, 15, Mode::exclusive}}), "aAbB");
    EXPECT_EQ(run({{0, 10, Mode::exclusive}, {0, 10, Mode::exclusive}}), "aAbB");
}

TEST(RangeLockTest, ClaimsThatOnlyTouchGoTogether) {
    EXPECT_EQ(run({{0, 10, Mode::exclusive}, {10, 20, Mode::exclusive}}), "abAB");
}

TEST(RangeLockTest, ALaterClaimDoesNotOvertakeAWaitingOne) {
    EXPECT_EQ(run({{0, 10, Mode::shared}, {0, 20, Mode::exclusive}, {15, 30, Mode::shared}}),
              "aAbBcC");
}

TEST(RangeLockTest, OtherClaimsRunWhileOneWaits) {
    EXPECT_EQ(run({{0, 10, Mode::exclusive}, {0, 10, Mode::exclusive}, {20, 30, Mode::exclusive}}),
              "acACbB");
}

TEST(RangeLockTest, EveryoneWhoWaitedForOneClaimGoesOnTogether) {
    EXPECT_EQ(run({{0, 30, Mode::exclusive}, {0, 10, Mode::shared}, {20, 30, Mode::exclusive}}),
              "aAbcBC");
}

}  // namespace
}  // namespace qed
