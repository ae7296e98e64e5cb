// SPDX-License-Identifier: Apache-2.0
#include "engine/free_clusters.hpp"

#include <cstdint>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace qed {
namespace {

constexpr std::uint64_t kPage = 32'768;
constexpr std::uint64_t kAny = FreeClusters::kMaxClusters;

bool operator==(const FreeClusters::Run& run, std::pair<std::uint64_t, std::uint64_t> expected) {
    return run.first == expected.first && run.count == expected.second;
}
using Expected = std::pair<std::uint64_t, std::uint64_t>;

TEST(FreeClustersTest, AdjacentRunsAreOne) {
    FreeClusters set;
    set.add({10, 2});
    set.add({14, 2});
    set.add({12, 2});
    EXPECT_EQ(set.count(), 6U);
    EXPECT_TRUE(set.take_first(kAny) == (Expected{10, 6}));
    EXPECT_TRUE(set.empty());
    EXPECT_TRUE(set.take_first(1) == (Expected{0, 0}));
}

TEST(FreeClustersTest, AMemberIsCountedOnce) {
    FreeClusters set;
    set.add({5, 10});
    set.add({8, 10});
    EXPECT_EQ(set.count(), 13U);
}

TEST(FreeClustersTest, ARunCrossesPages) {
    FreeClusters set;
    set.add({kPage - 3, 3 * kPage});
    EXPECT_EQ(set.count(), 3 * kPage);
    EXPECT_TRUE(set.take_whole(kPage) == (Expected{kPage - 3, kPage}));
    EXPECT_EQ(set.take_before(4 * kPage - 3), 2 * kPage - 3);
    EXPECT_TRUE(set.empty());
}

TEST(FreeClustersTest, TakesTheLowestRunThatIsLongEnough) {
    FreeClusters set;
    set.add({1, 1});
    set.add({3, 4});
    set.add({100, 8});
    EXPECT_TRUE(set.take_whole(8) == (Expected{100, 8}));
    EXPECT_TRUE(set.take_whole(8) == (Expected{0, 0}));
    EXPECT_TRUE(set.take_longest(8) == (Expected{3, 4}));
    EXPECT_TRUE(set.take_whole(1) == (Expected{1, 1}));
    EXPECT_TRUE(set.empty());
}

TEST(FreeClustersTest, TakesNothingBeforeAMemberThatIsNoNeighbour) {
    FreeClusters set;
    set.add({10, 5});
    EXPECT_EQ(set.take_before(16), 16U);
    EXPECT_EQ(set.take_before(14), 10U);
    EXPECT_TRUE(set.take_first(kAny) == (Expected{14, 1}));
}

TEST(FreeClustersTest, AHugeHoleTakesNoMemoryForItsBits) {
    FreeClusters set;
    set.add({7, kPage << 8});
    set.add({FreeClusters::kMaxClusters, 5});  // past what is kept
    EXPECT_EQ(set.count(), kPage << 8);
    EXPECT_TRUE(set.take_whole(3) == (Expected{7, 3}));
    EXPECT_TRUE(set.contains(10));
    EXPECT_FALSE(set.contains(9));
    EXPECT_FALSE(set.contains((kPage << 8) + 7));
}

TEST(FreeClustersTest, MovesAllMembers) {
    FreeClusters from;
    FreeClusters to;
    from.add({kPage - 1, kPage + 2});
    to.add({3, 1});
    from.move_to(to);
    EXPECT_TRUE(from.empty());
    EXPECT_EQ(to.count(), kPage + 3);
    from.move_to(to);
    EXPECT_EQ(to.count(), kPage + 3);
}

TEST(FreeClustersTest, AgreesWithASetOfNumbers) {
    std::mt19937_64 random(7);  // NOLINT: repeatable on purpose
    FreeClusters set;
    std::set<std::uint64_t> model;
    const auto erase = [&](FreeClusters::Run run) {
        for (std::uint64_t i = 0; i < run.count; ++i)
            ASSERT_EQ(model.erase(run.first + i), 1U) << run.first + i;
    };
    for (int step = 0; step < 20'000; ++step) {
        const std::uint64_t first = random() % (2 * kPage + 100);
        const std::uint64_t count = 1 + random() % 90;
        switch (random() % 5) {
            case 0:
            case 1:
                set.add({first, count});
                for (std::uint64_t i = 0; i < count; ++i)
                    model.insert(first + i);
                break;
            case 2:
                erase(set.take_whole(count));
                break;
            case 3:
                erase(set.take_longest(count));
                break;
            case 4: {
                const std::uint64_t begin = set.take_before(first);
                EXPECT_TRUE(begin == 0 || !model.contains(begin - 1));
                erase({begin, first - begin});
                break;
            }
        }
        ASSERT_EQ(set.count(), model.size());
        ASSERT_EQ(set.contains(first), model.contains(first));
    }
}

}  // namespace
}  // namespace qed
