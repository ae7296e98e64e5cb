// SPDX-License-Identifier: Apache-2.0
#include "simulator.hpp"

#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "replay.hpp"

namespace qed::cache_sim {
namespace {

using Ids = std::vector<EntryId>;

RC_GTEST_PROP(SimulatorTest, StaysInsideTheBudgetAndReadsEachEntryOnceAtLeast, ()) {
    constexpr EntryId kEntries = 20;
    Workload workload;
    workload.lookups = *rc::gen::container<Ids>(rc::gen::inRange<EntryId>(0, kEntries));
    workload.entry_bytes = *rc::gen::container<std::vector<std::uint32_t>>(
        kEntries, rc::gen::inRange<std::uint32_t>(1, 100));
    const auto budget = *rc::gen::inRange<std::uint64_t>(1, 500);
    const std::set<EntryId> touched(workload.lookups.begin(), workload.lookups.end());
    for (const PolicyKind& kind : all_policies()) {
        const Outcome outcome = simulate(workload, budget, kind);
        RC_ASSERT(outcome.lookups == workload.lookups.size());
        RC_ASSERT(outcome.peak_bytes <= budget);
        RC_ASSERT(outcome.misses >= touched.size());
        RC_ASSERT(outcome.misses <= outcome.lookups);
        RC_ASSERT(outcome.evictions <= outcome.misses);
    }
}

TEST(SimulatorTest, MissesOnlyOncePerEntryWhenAllFit) {
    for (const PolicyKind& kind : all_policies()) {
        const Outcome outcome = simulate(equal_entries({0, 1, 2, 0, 1, 2, 2}, 3, 10), 30, kind);
        EXPECT_EQ(outcome.misses, 3u) << kind.name;
        EXPECT_EQ(outcome.evictions, 0u) << kind.name;
        EXPECT_EQ(outcome.peak_bytes, 30u) << kind.name;
        EXPECT_EQ(outcome.peak_entries, 3u) << kind.name;
    }
}

TEST(SimulatorTest, ReadsAnEntryLargerThanTheBudgetEveryTimeAndEvictsNothingForIt) {
    const Workload workload{{0, 1, 1, 0, 1}, {4, 11}};
    for (const PolicyKind& kind : all_policies()) {
        const Outcome outcome = simulate(workload, 10, kind);
        EXPECT_EQ(outcome.misses, 4u) << kind.name;
        EXPECT_EQ(outcome.evictions, 0u) << kind.name;
        EXPECT_EQ(outcome.peak_bytes, 4u) << kind.name;
    }
}

TEST(SimulatorTest, HasNoMissRateWithoutLookups) {
    EXPECT_EQ(simulate({}, 10, *find_policy("belady")).miss_percent(), 0.0);
}

}  // namespace
}  // namespace qed::cache_sim
