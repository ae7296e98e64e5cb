// SPDX-License-Identifier: Apache-2.0
#include "belady.hpp"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "replay.hpp"

namespace qed::cache_sim {
namespace {

using Ids = std::vector<EntryId>;

TEST(BeladyTest, EvictsWhatIsNeededLastOrNeverAgain) {
    const Workload workload = equal_entries({0, 1, 2, 3, 0, 1, 2, 0}, 4);
    // 3 evicts 2, whose next use is the last of the three; 2 evicts 3, which is not used again.
    EXPECT_THAT(replay("belady", workload, 3), ::testing::ElementsAre(2, 3));
}

// The fewest misses of all choices of victims, by trying every choice.
std::uint64_t fewest_misses(const Ids& lookups, std::size_t step, std::set<EntryId> resident,
                            std::size_t capacity) {
    while (step < lookups.size() && resident.contains(lookups[step]))
        ++step;
    if (step == lookups.size()) return 0;
    const EntryId entry = lookups[step];
    if (resident.size() < capacity) {
        resident.insert(entry);
        return 1 + fewest_misses(lookups, step + 1, resident, capacity);
    }
    std::uint64_t fewest = lookups.size();
    for (const EntryId victim : resident) {
        std::set<EntryId> next = resident;
        next.erase(victim);
        next.insert(entry);
        fewest = std::min(fewest, 1 + fewest_misses(lookups, step + 1, next, capacity));
    }
    return fewest;
}

RC_GTEST_PROP(BeladyTest, MissesNoMoreThanTheBestOfAllChoices, ()) {
    const auto length = *rc::gen::inRange<std::size_t>(0, 14);
    const auto lookups = *rc::gen::container<Ids>(length, rc::gen::inRange<EntryId>(0, 5));
    const auto capacity = *rc::gen::inRange<std::size_t>(1, 4);
    const Outcome outcome = simulate(equal_entries(lookups, 5), capacity, *find_policy("belady"));
    RC_ASSERT(outcome.misses == fewest_misses(lookups, 0, {}, capacity));
}

RC_GTEST_PROP(BeladyTest, IsNeverWorseThanAnyPolicyWithEntriesOfOneSize, ()) {
    const auto lookups = *rc::gen::container<Ids>(rc::gen::inRange<EntryId>(0, 30));
    const auto capacity = *rc::gen::inRange<std::uint64_t>(1, 20);
    const Workload workload = equal_entries(lookups, 30, 64);
    const Outcome best = simulate(workload, capacity * 64, *find_policy("belady"));
    for (const PolicyKind& kind : all_policies()) {
        RC_ASSERT(best.misses <= simulate(workload, capacity * 64, kind).misses);
    }
}

TEST(BeladyTest, IsNeverWorseThanAnyPolicyOnALongTrace) {
    Ids lookups;
    std::uint64_t state = 1;
    for (int i = 0; i < 100'000; ++i) {
        state = state * 6364136223846793005 + 1442695040888963407;
        // The product of two uniform numbers: some entries are much more popular.
        lookups.push_back(static_cast<EntryId>((state >> 54) * ((state >> 44) & 1023) / 1024));
    }
    const Workload workload = equal_entries(lookups, 1024);
    const Outcome best = simulate(workload, 100, *find_policy("belady"));
    for (const PolicyKind& kind : all_policies()) {
        const Outcome outcome = simulate(workload, 100, kind);
        EXPECT_LE(best.misses, outcome.misses) << kind.name;
        EXPECT_LT(outcome.misses, outcome.lookups * 9 / 10) << kind.name;
    }
}

}  // namespace
}  // namespace qed::cache_sim
