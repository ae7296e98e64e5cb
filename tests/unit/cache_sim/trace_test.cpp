// SPDX-License-Identifier: Apache-2.0
#include "trace.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qed::cache_sim {
namespace {

constexpr std::uint64_t kStride = 1000;

Trace numbered(std::uint64_t requests) {
    Trace trace{"guest", {}};
    for (std::uint64_t i = 0; i < requests; ++i)
        trace.requests.push_back({i, 1});
    return trace;
}

TEST(InterleaveTest, EveryVolumePlaysItsWholeTraceInOrderFromItsOwnPlace) {
    const Trace mixed = interleave_volumes(numbered(100), 4, kStride, 1);
    ASSERT_EQ(mixed.requests.size(), 400u);
    std::map<std::uint64_t, std::vector<std::uint64_t>> by_volume;
    for (const Request& request : mixed.requests) {
        by_volume[request.offset / kStride].push_back(request.offset % kStride);
    }
    ASSERT_EQ(by_volume.size(), 4u);
    for (const auto& [volume, offsets] : by_volume) {
        ASSERT_EQ(offsets.size(), 100u);
        for (std::uint64_t i = 0; i < 100; ++i)
            EXPECT_EQ(offsets[i], (volume * 25 + i) % 100);
    }
}

TEST(InterleaveTest, MixesTheVolumes) {
    const Trace mixed = interleave_volumes(numbered(1000), 2, kStride, 1);
    std::size_t changes = 0;
    for (std::size_t i = 1; i < mixed.requests.size(); ++i) {
        changes += mixed.requests[i].offset / kStride != mixed.requests[i - 1].offset / kStride;
    }
    EXPECT_GT(changes, 900u);
    EXPECT_LT(changes, 1100u);
}

TEST(InterleaveTest, TheSeedDecidesTheOrder) {
    const Trace trace = numbered(100);
    EXPECT_EQ(interleave_volumes(trace, 3, kStride, 7).requests,
              interleave_volumes(trace, 3, kStride, 7).requests);
    EXPECT_NE(interleave_volumes(trace, 3, kStride, 7).requests,
              interleave_volumes(trace, 3, kStride, 8).requests);
}

TEST(TraceTest, EndsAfterTheHighestRequest) {
    EXPECT_EQ(end_of({"guest", {{100, 10}, {50, 100}, {0, 0}}}), 150u);
    EXPECT_EQ(end_of({"guest", {}}), 0u);
}

}  // namespace
}  // namespace qed::cache_sim
