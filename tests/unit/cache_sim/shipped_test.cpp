// SPDX-License-Identifier: Apache-2.0
// Cases in which the shipped policy must stay good. The limits are far from the figures in ADR
// 0002.
#include "shipped.hpp"

#include <gtest/gtest.h>

#include "generators.hpp"
#include "replay.hpp"

namespace qed::cache_sim {
namespace {

constexpr std::uint64_t kBudget = 12'800 * 1024;

Workload slices_of(std::string_view generator) {
    const Trace trace = find_generator(generator)->make({.lookups = 300'000});
    return make_workload(*cluster_lookups(trace, 65536, kMaxLookups), {.raw_bytes = 4096});
}

double miss_percent(const Workload& workload, std::string_view policy,
                    std::uint64_t budget = kBudget) {
    return simulate(workload, budget, *find_policy(policy)).miss_percent();
}

TEST(ShippedPolicyTest, ScanWithHotSetMissesATenthLessThanLru) {
    const Workload workload = slices_of("scan-mix");
    EXPECT_LT(miss_percent(workload, "s3fifo-a", kBudget / 4),
              0.9 * miss_percent(workload, "lru", kBudget / 4));
}

TEST(ShippedPolicyTest, FollowsADriftingLoopLikeFifo) {
    for (const std::string_view generator : {"drift", "drift-fast"}) {
        const Workload workload = slices_of(generator);
        EXPECT_LT(miss_percent(workload, "s3fifo-a"), 1.1 * miss_percent(workload, "fifo"))
            << generator;
    }
}

TEST(ShippedPolicyTest, KeepsPartOfALoopThatIsLongerThanTheCache) {
    const Workload workload = slices_of("loop");
    EXPECT_EQ(miss_percent(workload, "lru"), 100.0);
    EXPECT_LT(miss_percent(workload, "s3fifo-a"), 70.0);
}

TEST(ShippedPolicyTest, StaysCloseToLruWhenTheWorkingSetSlides) {
    const Workload workload = slices_of("sliding");
    EXPECT_LT(miss_percent(workload, "s3fifo-a"), 1.2 * miss_percent(workload, "lru"));
}

}  // namespace
}  // namespace qed::cache_sim
