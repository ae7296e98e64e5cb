// SPDX-License-Identifier: Apache-2.0
#include "engine/request_epochs.hpp"

#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace qed {
namespace {

/// Whether two advances succeed, after which no request of the older epoch is in flight.
bool advances_twice(RequestEpochs& epochs) {
    return epochs.try_advance() && epochs.try_advance();
}

TEST(RequestEpochsTest, ARequestUnderWayHoldsTheSecondAdvanceBack) {
    RequestEpochs epochs;
    {
        const RequestEpochs::Guard guard = epochs.enter();
        EXPECT_TRUE(epochs.try_advance());  // no request of the previous epoch is left
        EXPECT_FALSE(epochs.try_advance());
    }
    EXPECT_TRUE(epochs.try_advance());
}

TEST(RequestEpochsTest, ARequestOfTheLatestEpochDoesNotHoldTheAdvanceBack) {
    RequestEpochs epochs;
    ASSERT_TRUE(epochs.try_advance());
    const RequestEpochs::Guard guard = epochs.enter();
    EXPECT_TRUE(epochs.try_advance());
    EXPECT_EQ(epochs.epoch(), 2u);
}

TEST(RequestEpochsTest, ARequestMayEndOnAnotherThread) {
    RequestEpochs epochs;
    RequestEpochs::Guard guard = epochs.enter();
    std::thread([ended = std::move(guard)] {}).join();
    EXPECT_TRUE(advances_twice(epochs));
}

TEST(RequestEpochsTest, OneThatEndedOnAnotherThreadDoesNotHideOneThatHasNot) {
    RequestEpochs epochs;
    RequestEpochs::Guard first = epochs.enter();
    const RequestEpochs::Guard second = epochs.enter();
    std::thread([ended = std::move(first)] {}).join();
    EXPECT_FALSE(advances_twice(epochs));
}

TEST(RequestEpochsTest, ARequestOutlivesTheThreadThatBeganIt) {
    RequestEpochs epochs;
    {
        RequestEpochs::Guard guard;
        std::thread([&] { guard = epochs.enter(); }).join();
        EXPECT_FALSE(advances_twice(epochs));
        // A new thread may use the counter of a thread that has ended.
        std::thread([&] { const RequestEpochs::Guard other = epochs.enter(); }).join();
        EXPECT_FALSE(epochs.try_advance());
    }
    EXPECT_TRUE(epochs.try_advance());
}

TEST(RequestEpochsTest, MoreThreadsThanCountersAreAllCounted) {
    RequestEpochs epochs;
    std::vector<RequestEpochs::Guard> passes(2 * kThreadShards);
    {
        std::latch all_live(static_cast<std::ptrdiff_t>(passes.size()));
        std::vector<std::jthread> threads;
        for (RequestEpochs::Guard& guard : passes) {
            threads.emplace_back([&] {
                guard = epochs.enter();
                all_live.arrive_and_wait();
            });
        }
    }
    ASSERT_TRUE(epochs.try_advance());
    while (!passes.empty()) {
        EXPECT_FALSE(epochs.try_advance());
        passes.pop_back();
    }
    EXPECT_TRUE(epochs.try_advance());
}

}  // namespace
}  // namespace qed
