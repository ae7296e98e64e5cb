// SPDX-License-Identifier: Apache-2.0
// The rules of docs/adr/0023-free-space.md, one by one.
#include "engine/cluster_allocator.hpp"

#include <gtest/gtest.h>

namespace qed {
namespace {

constexpr std::uint64_t kCluster = 65536;

class ClusterAllocatorTest : public testing::Test {
protected:
    ClusterAllocatorTest() { allocator.set_end(10 * kCluster); }

    ClusterRun reserve(std::uint64_t clusters, Prefer prefer = Prefer::holes) {
        return *allocator.reserve(clusters, prefer);
    }
    static std::uint64_t first(const ClusterRun& run) { return run.offset.value / kCluster; }
    void flush() {
        allocator.flush_begins();
        allocator.flush_succeeded();
    }
    void release(std::uint64_t cluster, std::uint64_t count = 1) {
        for (std::uint64_t i = 0; i < count; ++i)
            allocator.release(FileOffset{(cluster + i) * kCluster}, 1);
    }

    RequestEpochs epochs;
    ClusterAllocator allocator{ClusterSize(16), epochs};
};

TEST_F(ClusterAllocatorTest, WithoutFreeSpaceTheFileGrows) {
    const ClusterRun run = reserve(3);
    EXPECT_EQ(first(run), 10U);
    EXPECT_EQ(run.clusters, 3U);
    EXPECT_FALSE(run.has_old_data);
    EXPECT_FALSE(run.after_flush);
    EXPECT_EQ(allocator.end(), 13 * kCluster);
}

TEST_F(ClusterAllocatorTest, AReleasedClusterIsFreeAfterAFlushThatBeganLater) {
    allocator.flush_begins();
    release(4);
    allocator.flush_succeeded();
    EXPECT_EQ(first(reserve(1)), 10U);
    EXPECT_EQ(allocator.unflushed_bytes(), kCluster);
    flush();
    const ClusterRun run = reserve(1);
    EXPECT_EQ(first(run), 4U);
    EXPECT_TRUE(run.has_old_data);
    EXPECT_TRUE(run.after_flush);
}

TEST_F(ClusterAllocatorTest, AReleasedClusterIsFreeWhenItsUsersHaveEnded) {
    RequestEpochs::Guard reader = epochs.enter();
    release(4);
    flush();
    EXPECT_EQ(first(reserve(1)), 10U);
    reader = {};
    EXPECT_EQ(first(reserve(1)), 4U);
}

TEST_F(ClusterAllocatorTest, WhatWasFoundAtOpenWaitsForAFlush) {
    allocator.add_found({4, 2}, false);
    allocator.add_found({7, 1}, true);
    EXPECT_TRUE(allocator.wants_flush());
    EXPECT_EQ(first(reserve(1)), 10U);
    flush();
    EXPECT_FALSE(allocator.wants_flush());
    const ClusterRun hole = reserve(1);
    EXPECT_EQ(first(hole), 7U);  // it needs no fill, and its entry no flush
    EXPECT_FALSE(hole.has_old_data);
    EXPECT_FALSE(hole.after_flush);
    const ClusterRun used = reserve(2);
    EXPECT_EQ(first(used), 4U);
    EXPECT_TRUE(used.has_old_data);
    EXPECT_TRUE(used.after_flush);
}

TEST_F(ClusterAllocatorTest, APunchedClusterIsZeroForGoodAfterAFlush) {
    allocator.abandon({.offset = {4 * kCluster}, .clusters = 1});
    const ClusterRun run = allocator.take_occupied();
    ASSERT_EQ(run.clusters, 1U);
    EXPECT_EQ(first(reserve(1)), 10U);  // it is being punched
    allocator.punched(run);
    EXPECT_EQ(first(*allocator.reserve_table(1)), 11U);
    const ClusterRun hole = reserve(1);
    EXPECT_EQ(first(hole), 4U);
    EXPECT_FALSE(hole.has_old_data);
    EXPECT_TRUE(hole.after_flush);  // after a power cut the old data may be back
    allocator.punched(hole);
    flush();
    EXPECT_EQ(first(*allocator.reserve_table(1)), 4U);
}

TEST_F(ClusterAllocatorTest, TakesARunWhereARequestNeedsOne) {
    allocator.punched({.offset = {2 * kCluster}, .clusters = 1});
    flush();
    allocator.abandon({.offset = {5 * kCluster}, .clusters = 3});
    EXPECT_EQ(first(reserve(3)), 5U);
    EXPECT_EQ(first(reserve(3)), 2U);  // a short one before the file grows
}

TEST_F(ClusterAllocatorTest, OnAFullDiskOccupiedClustersComeFirst) {
    allocator.punched({.offset = {2 * kCluster}, .clusters = 1});
    allocator.abandon({.offset = {5 * kCluster}, .clusters = 1});
    EXPECT_EQ(first(reserve(1, Prefer::occupied)), 5U);
    EXPECT_EQ(first(reserve(1, Prefer::occupied)), 2U);
}

TEST_F(ClusterAllocatorTest, CutsTheFreeEnd) {
    allocator.abandon({.offset = {7 * kCluster}, .clusters = 1});
    allocator.punched({.offset = {8 * kCluster}, .clusters = 2});
    EXPECT_EQ(allocator.begin_cut(), 7 * kCluster);
    allocator.end_cut(true);
    EXPECT_EQ(allocator.end(), 7 * kCluster);
}

TEST_F(ClusterAllocatorTest, ReservationsDuringACutLieBehindIt) {
    allocator.abandon({.offset = {8 * kCluster}, .clusters = 2});
    EXPECT_EQ(allocator.begin_cut(), 8 * kCluster);
    EXPECT_EQ(first(reserve(1)), 10U);
    allocator.end_cut(true);
    EXPECT_EQ(allocator.end(), 11 * kCluster);
    const ClusterRun run = reserve(2);
    EXPECT_EQ(first(run), 8U);
    EXPECT_FALSE(run.has_old_data);
    EXPECT_TRUE(run.after_flush);
}

TEST_F(ClusterAllocatorTest, AFailedCutKeepsTheClustersFree) {
    allocator.abandon({.offset = {8 * kCluster}, .clusters = 2});
    allocator.begin_cut();
    allocator.end_cut(false);
    const ClusterRun run = reserve(2);
    EXPECT_EQ(first(run), 8U);
    EXPECT_TRUE(run.has_old_data);
}

TEST_F(ClusterAllocatorTest, UntilACutIsDurableOldDataMayBeBack) {
    allocator.abandon({.offset = {8 * kCluster}, .clusters = 2});
    allocator.begin_cut();
    allocator.end_cut(true);
    EXPECT_TRUE(reserve(1).after_flush);
    EXPECT_EQ(first(*allocator.reserve_table(1)), 10U);  // a table must be zero for good
    EXPECT_EQ(first(reserve(1)), 9U);
    flush();
    EXPECT_FALSE(reserve(1).after_flush);
}

TEST_F(ClusterAllocatorTest, AFlushUnderWayDoesNotCoverACut) {
    allocator.abandon({.offset = {9 * kCluster}, .clusters = 1});
    allocator.flush_begins();
    allocator.begin_cut();
    allocator.end_cut(true);
    allocator.flush_succeeded();
    EXPECT_TRUE(reserve(1).after_flush);
}

TEST_F(ClusterAllocatorTest, ManySeparateFreeClustersAreAllKept) {
    constexpr std::uint64_t kRuns = 300'000;  // more than one of the sets once had room for
    allocator.set_end(2 * (kRuns + 10) * kCluster);
    for (std::uint64_t i = 1; i <= kRuns; ++i)
        allocator.abandon({.offset = {2 * i * kCluster}, .clusters = 1});
    EXPECT_EQ(allocator.free_clusters(), kRuns);
    for (std::uint64_t i = 0; i < kRuns; ++i)
        ASSERT_LT(first(reserve(1)), 2 * (kRuns + 1));
    EXPECT_EQ(first(reserve(1)), 2 * (kRuns + 10));
}

TEST_F(ClusterAllocatorTest, ReservesTheLowestFreeClusterOfAnyKindBelowALimit) {
    allocator.punched({.offset = {6 * kCluster}, .clusters = 2});
    allocator.abandon({.offset = {3 * kCluster}, .clusters = 1});
    const auto below = [&](std::uint64_t limit) {
        return allocator.reserve_below({limit * kCluster}, 8);
    };
    EXPECT_EQ(allocator.lowest_free().value, 3 * kCluster);
    EXPECT_EQ(below(3).clusters, 0U);
    const ClusterRun occupied = below(10);
    EXPECT_EQ(first(occupied), 3U);
    EXPECT_EQ(occupied.clusters, 1U);
    EXPECT_TRUE(occupied.after_flush);
    const ClusterRun hole = below(7);
    EXPECT_EQ(first(hole), 6U);
    EXPECT_EQ(hole.clusters, 1U);
    EXPECT_EQ(allocator.free_clusters(), 1U);
}

TEST_F(ClusterAllocatorTest, ReservesARunOfFreeClustersOfSeveralKinds) {
    allocator.punched({.offset = {6 * kCluster}, .clusters = 1});
    allocator.abandon({.offset = {3 * kCluster}, .clusters = 1});
    allocator.abandon({.offset = {5 * kCluster}, .clusters = 1});
    const auto between = [&](std::uint64_t begin, std::uint64_t end) {
        return allocator.reserve_between({begin * kCluster}, {end * kCluster}, 2);
    };
    EXPECT_EQ(allocator.end_of_first_free({4 * kCluster}).value, 7 * kCluster);
    EXPECT_EQ(between(2, 6).clusters, 0U);
    EXPECT_EQ(between(6, 10).clusters, 0U);
    EXPECT_EQ(first(between(2, 7)), 5U);
    EXPECT_EQ(allocator.free_clusters(), 1U);
    EXPECT_EQ(allocator.kept_end(), 9 * kCluster);
}

TEST_F(ClusterAllocatorTest, RequestsInFlightHaveEndedWhenTheLastOfThemHas) {
    RequestEpochs::Guard early = epochs.enter();
    const std::uint64_t moment = allocator.moment();
    EXPECT_FALSE(allocator.have_ended(moment));
    early = {};
    EXPECT_TRUE(allocator.have_ended(moment));
    const RequestEpochs::Guard late = epochs.enter();
    EXPECT_TRUE(allocator.have_ended(moment));
    EXPECT_FALSE(allocator.have_ended(allocator.moment()));
}

TEST_F(ClusterAllocatorTest, TheFileHasALimit) {
    allocator.set_end(std::uint64_t{1} << 62);
    const auto run = allocator.reserve(std::uint64_t{1} << 46, Prefer::holes);
    ASSERT_FALSE(run);
    EXPECT_EQ(run.error().code(), Errc::no_space);
}

}  // namespace
}  // namespace qed
