// SPDX-License-Identifier: Apache-2.0
#include "engine/request_gate.hpp"

#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace qed {
namespace {

/// Two advances after which nothing of the epoch before them is under way.
bool advances_twice(RequestGate& gate) {
    return gate.try_advance() && gate.try_advance();
}

TEST(RequestGateTest, ARequestUnderWayHoldsTheSecondAdvanceBack) {
    RequestGate gate;
    {
        const RequestGate::Pass pass = gate.enter();
        EXPECT_TRUE(gate.try_advance());  // nobody is left of the epoch before this one
        EXPECT_FALSE(gate.try_advance());
    }
    EXPECT_TRUE(gate.try_advance());
}

TEST(RequestGateTest, ARequestOfTheLatestEpochDoesNotHoldTheAdvanceBack) {
    RequestGate gate;
    ASSERT_TRUE(gate.try_advance());
    const RequestGate::Pass pass = gate.enter();
    EXPECT_TRUE(gate.try_advance());
    EXPECT_EQ(gate.epoch(), 2u);
}

TEST(RequestGateTest, ARequestMayEndOnAnotherThread) {
    RequestGate gate;
    RequestGate::Pass pass = gate.enter();
    std::thread([ended = std::move(pass)] {}).join();
    EXPECT_TRUE(advances_twice(gate));
}

TEST(RequestGateTest, OneThatEndedOnAnotherThreadDoesNotHideOneThatHasNot) {
    RequestGate gate;
    RequestGate::Pass first = gate.enter();
    const RequestGate::Pass second = gate.enter();
    std::thread([ended = std::move(first)] {}).join();
    EXPECT_FALSE(advances_twice(gate));
}

TEST(RequestGateTest, ARequestOutlivesTheThreadThatBeganIt) {
    RequestGate gate;
    {
        RequestGate::Pass pass;
        std::thread([&] { pass = gate.enter(); }).join();
        EXPECT_FALSE(advances_twice(gate));
        // A new thread may count where the one that has ended did.
        std::thread([&] { const RequestGate::Pass other = gate.enter(); }).join();
        EXPECT_FALSE(gate.try_advance());
    }
    EXPECT_TRUE(gate.try_advance());
}

TEST(RequestGateTest, MoreThreadsThanCountersAreAllCounted) {
    RequestGate gate;
    std::vector<RequestGate::Pass> passes(2 * kThreadShards);
    {
        std::latch all_live(static_cast<std::ptrdiff_t>(passes.size()));
        std::vector<std::jthread> threads;
        for (RequestGate::Pass& pass : passes) {
            threads.emplace_back([&] {
                pass = gate.enter();
                all_live.arrive_and_wait();
            });
        }
    }
    ASSERT_TRUE(gate.try_advance());
    while (!passes.empty()) {
        EXPECT_FALSE(gate.try_advance());
        passes.pop_back();
    }
    EXPECT_TRUE(gate.try_advance());
}

}  // namespace
}  // namespace qed
