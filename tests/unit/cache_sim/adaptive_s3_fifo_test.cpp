// SPDX-License-Identifier: Apache-2.0
// What the shipped policy must keep doing well. Limits are far from today's figures in ADR 0002.
#include "adaptive_s3_fifo.hpp"

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

TEST(AdaptiveS3FifoTest, MissesATenthLessThanLruWhenAScanRunsBesideAHotSetInLittleMemory) {
    const Workload workload = slices_of("scan-mix");
    EXPECT_LT(miss_percent(workload, "s3fifo-a", kBudget / 4),
              0.9 * miss_percent(workload, "lru", kBudget / 4));
}

TEST(AdaptiveS3FifoTest, FollowsADriftingLoopLikeFifo) {
    for (const std::string_view generator : {"drift", "drift-fast"}) {
        const Workload workload = slices_of(generator);
        EXPECT_LT(miss_percent(workload, "s3fifo-a"), 1.1 * miss_percent(workload, "fifo"))
            << generator;
    }
}

TEST(AdaptiveS3FifoTest, KeepsPartOfALoopThatIsLongerThanTheCache) {
    const Workload workload = slices_of("loop");
    EXPECT_EQ(miss_percent(workload, "lru"), 100.0);
    EXPECT_LT(miss_percent(workload, "s3fifo-a"), 70.0);
}

TEST(AdaptiveS3FifoTest, StaysCloseToLruWhenTheWorkingSetSlides) {
    const Workload workload = slices_of("sliding");
    EXPECT_LT(miss_percent(workload, "s3fifo-a"), 1.2 * miss_percent(workload, "lru"));
}

// A cache of 100 entries, one byte each.
class AdaptationTest : public testing::Test {
protected:
    std::uint64_t target_after(const std::vector<EntryId>& lookups) {
        const Workload workload = equal_entries(lookups, 1000);
        AdaptiveS3Fifo policy({workload.lookups, workload.entry_bytes, 100});
        replay(policy, workload, 100);
        return policy.small_target_bytes();
    }

    static void append(std::vector<EntryId>& lookups, EntryId first, EntryId last) {
        for (EntryId entry = first; entry < last; ++entry)
            lookups.push_back(entry);
    }
};

TEST_F(AdaptationTest, SmallQueueBeginsAtAFifth) {
    EXPECT_EQ(target_after({}), 20u);
}

TEST_F(AdaptationTest, SmallQueueGrowsByWhatComesBackSoonAfterItLeft) {
    // 0..59 are used and move to the main queue; then 100..169 pass the small queue of 40.
    std::vector<EntryId> lookups;
    append(lookups, 0, 80);
    append(lookups, 0, 80);
    append(lookups, 100, 165);
    const std::uint64_t before = target_after(lookups);
    lookups.push_back(100);
    EXPECT_EQ(before, 20u);
    EXPECT_EQ(target_after(lookups), 21u);
}

TEST_F(AdaptationTest, SmallQueueIgnoresWhatComesBackLate) {
    std::vector<EntryId> lookups;
    append(lookups, 0, 80);
    append(lookups, 0, 80);
    append(lookups, 100, 190);
    lookups.push_back(100);  // 90 entries ago: a queue of 70 would not have kept it
    EXPECT_EQ(target_after(lookups), 20u);
}

TEST_F(AdaptationTest, SmallQueueShrinksByWhatComesBackAfterItLeftTheMainQueue) {
    // All of 0..99 are used, so room for 200 is made in the main queue: 0 leaves it.
    std::vector<EntryId> lookups;
    append(lookups, 0, 100);
    append(lookups, 0, 100);
    lookups.push_back(200);
    EXPECT_EQ(target_after(lookups), 20u);
    lookups.push_back(0);
    EXPECT_EQ(target_after(lookups), 19u);
}

}  // namespace
}  // namespace qed::cache_sim
