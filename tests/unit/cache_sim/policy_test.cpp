// SPDX-License-Identifier: Apache-2.0
// The online policies: short traces with known results, and random traces compared with naive
// versions of the policies.
#include "policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "naive_policies.hpp"
#include "replay.hpp"

namespace qed::cache_sim {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<EntryId>;

TEST(FifoTest, EvictsInTheOrderOfArrivalWhateverIsUsed) {
    EXPECT_THAT(replay("fifo", equal_entries({0, 1, 2, 0, 0, 3, 0, 4}, 5), 3),
                ElementsAre(0, 1, 2));
}

TEST(LruTest, EvictsWhatWasUsedLongestAgo) {
    EXPECT_THAT(replay("lru", equal_entries({0, 1, 2, 0, 3, 1, 0, 2}, 4), 3), ElementsAre(1, 2, 3));
}

TEST(ClockTest, GivesAUsedEntryOneMoreRound) {
    // 0 was used and gets another round, so 1 is evicted; then 2 is evicted; 3 was used, and 0 has
    // lost its mark.
    EXPECT_THAT(replay("clock", equal_entries({0, 1, 2, 0, 0, 3, 3, 4, 5}, 6), 3),
                ElementsAre(1, 2, 0));
}

TEST(ClockTest, WithTwoBitsGivesAsManyRoundsAsUses) {
    EXPECT_THAT(replay("clock2", equal_entries({0, 1, 2, 0, 0, 3, 3, 4, 5}, 6), 3),
                ElementsAre(1, 2, 4));
}

TEST(SieveTest, LeavesSurvivorsInPlaceAndGoesOnFromTheHand) {
    // The hand clears 0, evicts 1 and stands at 2; 2 goes next although 0 is older and unmarked.
    EXPECT_THAT(replay("sieve", equal_entries({0, 1, 2, 0, 3, 4}, 5), 3), ElementsAre(1, 2));
}

TEST(SieveTest, HandGoesRoundWhenEveryEntryIsMarked) {
    EXPECT_THAT(replay("sieve", equal_entries({0, 1, 2, 2, 1, 0, 3, 4}, 5), 3), ElementsAre(0, 1));
}

TEST(S3FifoTest, KeepsEntriesUsedTwiceWhileAScanPasses) {
    // 0 and 1 are used twice in the small queue (1 of 10 entries) and are never evicted.
    Ids lookups{0, 0, 0, 1, 1, 1};
    for (EntryId scanned = 2; scanned < 100; ++scanned)
        lookups.push_back(scanned);
    const Ids evicted = replay("s3fifo", equal_entries(lookups, 100), 10);
    EXPECT_EQ(evicted.size(), 90u);
    EXPECT_THAT(evicted, ::testing::Each(::testing::Ge(2u)));
}

TEST(S3FifoTest, TakesBackAnEntryIntoTheMainQueueWhileItsKeyIsRemembered) {
    // 0 is evicted unused, returns, and then survives the following scan.
    Ids lookups{0};
    for (EntryId scanned = 1; scanned < 11; ++scanned)
        lookups.push_back(scanned);
    lookups.push_back(0);
    for (EntryId scanned = 11; scanned < 30; ++scanned)
        lookups.push_back(scanned);
    const Ids evicted = replay("s3fifo", equal_entries(lookups, 30), 10);
    EXPECT_EQ(std::ranges::count(evicted, 0u), 1);
    EXPECT_EQ(evicted.front(), 0u);
}

TEST(PolicyListTest, FindsEveryPolicyByItsNameAndNothingElse) {
    for (const PolicyKind& kind : all_policies())
        EXPECT_EQ(find_policy(kind.name), &kind);
    EXPECT_EQ(find_policy("FIFO"), nullptr);
    EXPECT_EQ(find_policy(""), nullptr);
}

// A random workload of entries of different sizes, each of which fits the budget.
struct Scene {
    Workload workload;
    std::uint64_t budget;

    PolicyInput input() const { return {workload.lookups, workload.entry_bytes, budget}; }
};

Scene random_scene() {
    const auto entries = *rc::gen::inRange<std::size_t>(1, 16);
    Scene scene;
    scene.workload.lookups = *rc::gen::scale(
        10.0, rc::gen::container<Ids>(rc::gen::inRange<EntryId>(0, static_cast<EntryId>(entries))));
    scene.workload.entry_bytes = *rc::gen::container<std::vector<std::uint32_t>>(
        entries, rc::gen::inRange<std::uint32_t>(1, 40));
    scene.budget = *rc::gen::inRange<std::uint64_t>(40, 300);
    return scene;
}

template <typename Twin, typename... Options>
void expect_same_as(std::string_view name, Options... options) {
    const Scene scene = random_scene();
    Twin twin(scene.input(), options...);
    RC_ASSERT(replay(name, scene.workload, scene.budget) ==
              replay(twin, scene.workload, scene.budget));
}

RC_GTEST_PROP(FifoTest, EvictsLikeTheNaiveVersion, ()) {
    expect_same_as<naive::Fifo>("fifo");
}
RC_GTEST_PROP(LruTest, EvictsLikeTheNaiveVersion, ()) {
    expect_same_as<naive::Lru>("lru");
}
RC_GTEST_PROP(ClockTest, EvictsLikeTheNaiveVersion, ()) {
    expect_same_as<naive::Clock>("clock", 1);
    expect_same_as<naive::Clock>("clock2", 3);
}
RC_GTEST_PROP(SieveTest, EvictsLikeTheNaiveVersion, ()) {
    expect_same_as<naive::Sieve>("sieve");
}
RC_GTEST_PROP(S3FifoTest, EvictsLikeTheNaiveVersion, ()) {
    expect_same_as<naive::S3Fifo>("s3fifo", 10U, 2, false);
    expect_same_as<naive::S3Fifo>("s3fifo-20", 20U, 1, false);
}
RC_GTEST_PROP(ShippedPolicyTest, EvictsLikeTheNaiveVersion, ()) {
    expect_same_as<naive::S3Fifo>("s3fifo-a", 20U, 1, true);
}

}  // namespace
}  // namespace qed::cache_sim
