// SPDX-License-Identifier: Apache-2.0
// Mistakes that caches of L2 tables have made before; each loses acknowledged writes or crashes.
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kCluster = 65536;
constexpr std::uint64_t kPerSlice = 512;

// When the second of two copies of a table was committed, the request that had loaded it continued
// with a reference that had been dropped together with its copy.
TEST(CacheHistoryTest, DuplicateIsDroppedAndItsRequestGetsTheWinner) {
    MemoryBudget budget(1U << 20);
    TableImage image(budget, 1, {.readahead_slices = 8});
    image.put_scattered(2);
    ASSERT_TRUE(image.load(0).has_value());
    auto bringer = image.start_pin(1);  // reads slices 1 and 2
    auto waiter = image.start_pin(1);
    const SliceRef winner = image.pin(2);
    image.end_read();
    ASSERT_TRUE(bringer.done() && waiter.done());
    ASSERT_EQ(budget.stats().duplicates_dropped, 1U);

    auto late = image.start_pin(2);
    ASSERT_TRUE(late.done()) << "given the winner, without a read";
    for (std::uint32_t i = 0; i < kPerSlice; ++i) {
        ASSERT_EQ(late.result()->entry(i), image.scattered(2, i));
        ASSERT_EQ(winner.entry(i), image.scattered(2, i));
        ASSERT_EQ(bringer.result()->entry(i), kUnallocatedEntry);
        ASSERT_EQ(waiter.result()->entry(i), kUnallocatedEntry);
    }
    // What one of them changes, the other sees: they hold the same slice.
    EXPECT_TRUE(image.cache->publish(winner, 7, std::array<Entry, 1>{3 * kCluster}));
    EXPECT_EQ(late.result()->entry(7), 3 * kCluster);
}

// A table that a request was updating was evicted; another request read the old content from the
// file before the update reached it, and put it back into the cache afterwards.
TEST(CacheHistoryTest, SliceIsNotEvictedAndReadAgainAroundAnUpdate) {
    MemoryBudget budget(64U << 10);
    TableImage image(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t slice = 0; slice < 256; ++slice)
        image.put_scattered(slice);
    {
        const SliceRef updated = image.pin(0);
        for (std::uint64_t slice = 1; slice < 256; ++slice)
            ASSERT_TRUE(image.load(slice * kPerSlice).has_value());
        ASSERT_GT(budget.stats().evictions, 100U);
        const std::size_t reads = image.file.reads();
        EXPECT_EQ(image.find(0).offset.value, image.scattered(0, 0)) << "still there";
        image.put(0, 5 * kCluster);
        EXPECT_TRUE(image.cache->publish(updated, 0, std::array<Entry, 1>{5 * kCluster}));
        EXPECT_EQ(image.find(0).offset.value, 5 * kCluster);
        EXPECT_EQ(image.file.reads(), reads);
    }
    for (std::uint64_t slice = 1; slice < 256; ++slice)
        ASSERT_TRUE(image.load(slice * kPerSlice).has_value());
    EXPECT_EQ(image.load(0)->offset.value, 5 * kCluster) << "evicted by now, and read again";
}

// The same with a read that began before the slice was pinned for the update: its content is the
// old one, whatever order the two end in.
TEST(CacheHistoryTest, SlowReadNeverBringsBackWhatAnUpdateReplaced) {
    MemoryBudget budget(64U << 10);
    TableImage image(budget, 4, {.readahead_slices = 8});
    image.put_scattered(2);
    ASSERT_TRUE(image.load(0).has_value());
    auto slow = image.start_load(kPerSlice);  // slices 1 and 2, as they are now
    {
        const SliceRef updated = image.pin(2);
        image.put(2 * kPerSlice, 5 * kCluster);
        EXPECT_TRUE(image.cache->publish(updated, 0, std::array<Entry, 1>{5 * kCluster}));
    }
    for (std::uint64_t slice = 64; slice < 256; ++slice) {
        image.put_scattered(slice);
        ASSERT_TRUE(image.load(slice * kPerSlice).has_value());
    }
    ASSERT_EQ(image.find(2 * kPerSlice).kind, Mapping::Kind::not_loaded) << "evicted";
    image.end_read();
    ASSERT_TRUE(slow.done());
    EXPECT_EQ(image.load(2 * kPerSlice)->offset.value, 5 * kCluster);
}

// Requests that were waiting for a table were ended twice when the image was drained while the
// read failed.
TEST(CacheHistoryTest, EachOfManyWaitersEndsExactlyOnceWhateverHappensToTheRead) {
    for (const bool fails : {false, true}) {
        for (const bool is_dropped : {false, true}) {
            MemoryBudget budget(1U << 20);
            TableImage image(budget, 1);
            std::vector<Running<Result<SliceRef>>> waiters;
            for (int i = 0; i < 50; ++i)
                waiters.push_back(image.start_pin(0));
            if (is_dropped) image.cache->drop(0);
            // A task that is resumed after its end would crash: all are drained, then destroyed.
            image.end_read(fails ? EIO : 0);
            while (image.file.held() != 0)
                image.end_read();
            unsigned pinned = 0;
            unsigned failed = 0;
            for (auto& waiter : waiters) {
                ASSERT_TRUE(waiter.done());
                ++(waiter.result().has_value() ? pinned : failed);
            }
            EXPECT_EQ(failed, fails ? 50U : 0U);
            EXPECT_EQ(budget.stats().pinned, fails ? 0U : 1U);
            image.executor.run();
            waiters.clear();
            EXPECT_EQ(budget.stats().pinned, 0U);
            EXPECT_EQ(budget.stats().loads_in_flight, 0U);
        }
    }
}

}  // namespace
}  // namespace qed::test
