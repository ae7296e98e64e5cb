// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/cluster_set.hpp"

#include <set>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed {
namespace {

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

ClusterSet set_of(std::uint64_t bound, std::uint64_t memory_limit = kMebibyte) {
    return std::move(ClusterSet::create(bound, memory_limit).value());
}

RC_GTEST_PROP(ClusterSetTest, BehavesLikeASetOfNumbers, ()) {
    constexpr std::uint64_t kBound = 70'000;  // several pages, the last one in part
    ClusterSet set = set_of(kBound);
    std::set<std::uint64_t> model;
    const auto numbers =
        *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, kBound));
    for (const std::uint64_t number : numbers) {
        if (number % 5 == 0) {
            set.erase(number);
            model.erase(number);
        } else if (number % 5 == 1) {
            std::vector<std::uint64_t> repeated;
            const std::uint64_t count = std::min<std::uint64_t>(number % 300, kBound - number);
            set.insert_run(number, count, [&](std::uint64_t c) { repeated.push_back(c); });
            std::vector<std::uint64_t> expected;
            for (std::uint64_t c = number; c < number + count; ++c) {
                if (!model.insert(c).second) expected.push_back(c);
            }
            RC_ASSERT(repeated == expected);
        } else {
            RC_ASSERT(set.insert(number) == !model.insert(number).second);
        }
    }
    RC_ASSERT(set.count() == model.size());
    for (const std::uint64_t number : numbers) {
        RC_ASSERT(set.contains(number) == model.contains(number));
        std::uint64_t absent = number;
        while (model.contains(absent))
            ++absent;
        RC_ASSERT(set.next_absent(number) == std::min(absent, kBound));
        const auto above = model.lower_bound(number);
        RC_ASSERT(set.last_below(number) == (above == model.begin() ? kBound : *std::prev(above)));
    }
}

RC_GTEST_PROP(ClusterSetTest, MergeTellsWhatBothHave, ()) {
    constexpr std::uint64_t kBound = 100'000;
    const auto numbers = [] {
        return *rc::gen::container<std::set<std::uint64_t>>(
            rc::gen::inRange<std::uint64_t>(0, kBound));
    };
    const std::set<std::uint64_t> ours = numbers();
    const std::set<std::uint64_t> theirs = numbers();
    ClusterSet a = set_of(kBound);
    ClusterSet b = set_of(kBound);
    for (const std::uint64_t number : ours)
        a.insert(number);
    for (const std::uint64_t number : theirs)
        b.insert(number);
    std::vector<std::uint64_t> both;
    a.merge(b, [&](std::uint64_t number) { both.push_back(number); });
    std::vector<std::uint64_t> expected;
    std::ranges::set_intersection(ours, theirs, std::back_inserter(expected));
    RC_ASSERT(both == expected);
    RC_ASSERT(a.count() == ours.size() + theirs.size() - both.size());
}

TEST(ClusterSetTest, EmptySetHasNoLastMemberAndNoMemory) {
    const ClusterSet set = set_of(std::uint64_t{1} << 30);
    EXPECT_EQ(set.last_below(set.bound()), set.bound());
    EXPECT_EQ(set.next_absent(0), 0U);
    EXPECT_EQ(set.count(), 0U);
    EXPECT_EQ(set.memory_bytes(), 0U);
}

TEST(ClusterSetTest, MemoryFollowsTheMembersAndNotTheBound) {
    ClusterSet set = set_of(ClusterSet::kMaxClusters);
    set.insert(0);
    set.insert(ClusterSet::kMaxClusters - 1);
    EXPECT_EQ(set.memory_bytes(), 2U * 4096);
    EXPECT_EQ(set.last_below(set.bound()), ClusterSet::kMaxClusters - 1);
    EXPECT_EQ(set.last_below(set.bound() - 1), 0U);
}

TEST(ClusterSetTest, MemoryLimitIsReported) {
    ClusterSet set = set_of(std::uint64_t{1} << 30, 2 * 4096);
    set.insert(0);
    set.insert(1 << 20);
    EXPECT_EQ(set.lack(), ClusterSet::MissingTable::none);
    set.insert(2 << 20);
    EXPECT_EQ(set.lack(), ClusterSet::MissingTable::limit);
    EXPECT_EQ(set.memory_bytes(), 2U * 4096);
}

TEST(ClusterSetTest, HugeBoundIsRefused) {
    const auto set = ClusterSet::create(ClusterSet::kMaxClusters + 1, kMebibyte);
    ASSERT_FALSE(set.has_value());
    EXPECT_EQ(set.error().code(), Errc::unsupported);
}

}  // namespace
}  // namespace qed
