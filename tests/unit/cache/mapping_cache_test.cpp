// SPDX-License-Identifier: Apache-2.0
// What the mapping cache promises, one test for each sentence; reads end when the test says so.
#include "cache/mapping_cache.hpp"

#include <array>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kCluster = 65536;

class MappingCacheTest : public testing::Test {
protected:
    static constexpr std::uint64_t kPerSlice = 512;

    /// First cluster of a slice.
    static std::uint64_t at(std::uint64_t slice) { return slice * kPerSlice; }
    /// Writes entries to the file and publishes them, as the writer of an image does.
    void write(const SliceRef& pin, std::uint64_t slice, std::uint32_t first,
               std::span<const Entry> entries) {
        for (std::size_t i = 0; i < entries.size(); ++i)
            image_.put(at(slice) + first + i, entries[i]);
        EXPECT_TRUE(image_.cache->publish(pin, first, entries));
    }
    CacheStats stats() const { return budget_.stats(); }

    MemoryBudget budget_{kMiB};
    TableImage image_{budget_, 4, {.readahead_slices = 1}};
};

// --- Lookup, miss, new tables -------------------------------------------------------------------

TEST_F(MappingCacheTest, MissReadsTheSliceAndTheNextLookupHits) {
    image_.put(7, 5 * kCluster);
    EXPECT_EQ(image_.find(7).kind, Mapping::Kind::not_loaded);

    auto load = image_.start_load(7);
    EXPECT_FALSE(load.done());
    EXPECT_EQ(image_.find(7).kind, Mapping::Kind::not_loaded)
        << "a slice that is being read must be invisible";
    image_.end_read();

    ASSERT_TRUE(load.done());
    EXPECT_EQ(load.result()->kind, Mapping::Kind::data);
    EXPECT_EQ(load.result()->offset.value, 5U * kCluster);
    EXPECT_EQ(image_.find(7).offset.value, 5U * kCluster);
    EXPECT_EQ(image_.file.reads(), 1U) << "the hit read nothing";
}

TEST_F(MappingCacheTest, LookupsSayWhatTheEntriesSayAndForHowLong) {
    image_.put(0, 100 * kCluster);
    image_.put(1, 101 * kCluster);
    image_.put(2, 200 * kCluster);
    image_.put(3, kZeroEntry);
    image_.put(4, kZeroEntry);
    image_.put(7, 12345);
    ASSERT_TRUE(image_.load(0).has_value());

    const Mapping data = image_.cache->find({1000}, 10 * kCluster);
    EXPECT_EQ(data.kind, Mapping::Kind::data);
    EXPECT_EQ(data.offset.value, 100 * kCluster + 1000);
    EXPECT_EQ(data.length, 2 * kCluster - 1000);
    EXPECT_EQ(image_.cache->find({1000}, 10).length, 10U);
    EXPECT_EQ(image_.find(3, 10).kind, Mapping::Kind::zero);
    EXPECT_EQ(image_.find(3, 10).length, 2 * kCluster);
    EXPECT_EQ(image_.find(5, 2).kind, Mapping::Kind::unallocated);
    EXPECT_EQ(image_.find(5, 9).length, 2 * kCluster);
    EXPECT_EQ(image_.find(7).kind, Mapping::Kind::corrupt);
    EXPECT_EQ(image_.find(8, 10'000).length, (kPerSlice - 8) * kCluster) << "ends with the slice";
}

TEST_F(MappingCacheTest, ManyAnswersAtOnceAreThoseOfOneByOne) {
    image_.put_scattered(0);                       // 32-bit values
    for (std::uint64_t i = 0; i < kPerSlice; ++i)  // a bitmap of runs, one of few entries
        image_.put(at(1) + i, (i / 7 * 100 + i) * kCluster);
    for (std::uint64_t i = 0; i < kPerSlice; i += 9)
        image_.put(at(2) + i, image_.scattered(2, i));
    image_.put(at(2) + 100, kZeroEntry);
    image_.put(at(2) + 101, kZeroEntry);
    image_.put(at(2) + 300, 12345);
    std::array<Mapping, 2 * MappingCache::kMaxRuns> runs;
    for (std::uint64_t slice = 0; slice < 3; ++slice) {
        ASSERT_TRUE(image_.load(at(slice)).has_value());
        const std::uint64_t end = at(slice + 1) * kCluster - 4096;
        std::uint64_t guest = at(slice) * kCluster + 512;
        while (guest < end) {
            const std::size_t count = image_.cache->find_runs({guest}, end - guest, runs);
            ASSERT_GT(count, 0U) << guest;
            for (const Mapping& run : std::span(runs).first(count)) {
                const Mapping one = image_.cache->find({guest}, run.length);
                EXPECT_EQ(run.kind, one.kind) << guest;
                EXPECT_EQ(run.offset.value, one.offset.value) << guest;
                EXPECT_EQ(run.length, one.length) << guest;
                guest += run.length;
            }
        }
        EXPECT_EQ(guest, end);
    }
    EXPECT_EQ(image_.cache->find_runs({0}, kCluster, {}), 0U) << "no room";
    EXPECT_EQ(image_.cache->find_runs({at(3) * kCluster}, kCluster, runs), 0U) << "not loaded";
}

TEST_F(MappingCacheTest, WithoutATableLookupsNeedNoReadAndSpanTables) {
    const std::uint64_t per_table = image_.shape.table_entries();
    image_.cache->set_l1(1, 0);
    image_.cache->set_l1(2, 0);
    image_.cache->set_l1(3, kBadEntry);
    const Mapping found = image_.find(per_table + 5, 10 * per_table);
    EXPECT_EQ(found.kind, Mapping::Kind::unallocated);
    EXPECT_EQ(found.length, (2 * per_table - 5) * kCluster);
    EXPECT_EQ(image_.find(3 * per_table).kind, Mapping::Kind::corrupt);
    EXPECT_EQ(image_.load(3 * per_table)->kind, Mapping::Kind::corrupt);
    EXPECT_EQ(image_.file.reads(), 0U);
}

TEST_F(MappingCacheTest, NewTableIsInTheCacheWithoutBeingRead) {
    image_.cache->set_l1(1, 0);
    const std::uint64_t cluster = image_.shape.table_entries() + 3;
    image_.cache->install_table(64, image_.table(1));
    EXPECT_EQ(image_.cache->l1(1), image_.table(1));
    EXPECT_EQ(image_.find(cluster).kind, Mapping::Kind::unallocated);
    const SliceRef pin = image_.cache->try_pin(64);
    ASSERT_TRUE(pin);
    write(pin, 64, 3, std::array<Entry, 1>{9 * kCluster});
    EXPECT_EQ(image_.find(cluster).offset.value, 9 * kCluster);
    EXPECT_EQ(image_.file.reads(), 0U);
}

TEST_F(MappingCacheTest, AfterAFailedWriteTheNextLookupReadsTheFile) {
    ASSERT_TRUE(image_.load(0).has_value());
    const SliceRef pin = image_.pin(0);
    image_.put(0, 77 * kCluster);  // what the failed write left behind
    image_.cache->drop(0);
    EXPECT_EQ(image_.find(0).kind, Mapping::Kind::not_loaded);
    EXPECT_EQ(image_.load(0)->offset.value, 77 * kCluster);
    EXPECT_TRUE(pin.is_detached());
}

// --- References ---------------------------------------------------------------------------------

static_assert(!std::is_copy_constructible_v<SliceRef> && !std::is_copy_assignable_v<SliceRef>);

TEST_F(MappingCacheTest, PinStaysValidWhenItsSliceIsDroppedAndIsFreedWithTheLastHolder) {
    image_.put_scattered(0);
    SliceRef one = image_.pin(0);
    SliceRef two = image_.pin(0);
    image_.cache->drop(0);
    EXPECT_EQ(stats().slices, 0U);
    EXPECT_EQ(stats().pinned, 1U);
    image_.put_scattered(0, 1);
    ASSERT_TRUE(image_.load(0).has_value());  // the memory is not used for something else

    one.reset();
    for (std::uint32_t i = 0; i < kPerSlice; ++i)
        ASSERT_EQ(two.entry(i), image_.scattered(0, i));
    SliceRef moved = std::move(two);
    EXPECT_FALSE(two);  // NOLINT(bugprone-use-after-move): that is the point
    EXPECT_EQ(moved.entry(5), image_.scattered(0, 5));
    moved.reset();
    moved.reset();
    EXPECT_EQ(stats().pinned, 0U);
    EXPECT_EQ(image_.find(0).offset.value, image_.scattered(0, 0, 1)) << "the newer copy stays";
}

TEST_F(MappingCacheTest, TryPinTakesOnlyWhatIsInMemory) {
    EXPECT_FALSE(image_.cache->try_pin(0));
    auto load = image_.start_load(0);
    EXPECT_FALSE(image_.cache->try_pin(0)) << "a slice that is being read must be invisible";
    image_.end_read();
    EXPECT_TRUE(image_.cache->try_pin(0));
}

// --- Updates ------------------------------------------------------------------------------------

TEST_F(MappingCacheTest, UpdateIsSeenFromPublishOn) {
    image_.put(3, 8 * kCluster);
    const SliceRef pin = image_.pin(0);
    EXPECT_EQ(image_.find(3).offset.value, 8 * kCluster);
    write(pin, 0, 3, std::array<Entry, 2>{9 * kCluster, 10 * kCluster});
    EXPECT_EQ(image_.find(3, 2).offset.value, 9 * kCluster);
    EXPECT_EQ(image_.find(3, 2).length, 2 * kCluster);
    EXPECT_EQ(pin.entry(4), 10 * kCluster);
}

TEST_F(MappingCacheTest, TableThatIsUnlinkedLeavesTheCacheAtOnce) {
    image_.put(0, 8 * kCluster);
    ASSERT_TRUE(image_.load(0).has_value());
    auto load = image_.start_load(at(5));
    image_.cache->set_l1(0, 0);
    EXPECT_EQ(image_.find(0).kind, Mapping::Kind::unallocated);
    image_.end_read();
    ASSERT_TRUE(load.done());
    EXPECT_EQ(load.result()->kind, Mapping::Kind::unallocated);
    EXPECT_EQ(stats().slices, 0U);
}

// --- Events -------------------------------------------------------------------------------------

TEST_F(MappingCacheTest, EventsAreCountedForTheImageAndForTheBudget) {
    TableImage other(budget_, 1, {.readahead_slices = 1});
    image_.put_scattered(0);
    ASSERT_TRUE(image_.load(0).has_value());
    EXPECT_EQ(image_.find(0).kind, Mapping::Kind::data);
    EXPECT_EQ(image_.find(0, 2).kind, Mapping::Kind::data);
    ASSERT_TRUE(other.load(0).has_value());

    const CacheStats mine = image_.cache->stats();
    EXPECT_EQ(mine.hits, 2U);
    EXPECT_EQ(mine.misses, 1U);
    EXPECT_EQ(mine.commits, 1U);
    EXPECT_EQ(mine.read_bytes, 4096U);
    EXPECT_EQ(mine.slices, 1U);
    EXPECT_EQ(stats().misses, 2U);
    EXPECT_EQ(stats().slices, 2U);
    EXPECT_GT(stats().bytes, 2048U);
    EXPECT_EQ(stats().limit_bytes, kMiB);
    budget_.trim();
    EXPECT_EQ(image_.cache->stats().evictions, 1U);
    EXPECT_EQ(stats().evictions, 2U);
    EXPECT_EQ(stats().slices, 0U);
}

TEST(CacheStatsTest, BudgetKeepsTheCountsOfCachesThatAreGone) {
    MemoryBudget budget(kMiB);
    {
        TableImage image(budget);
        ASSERT_TRUE(image.load(0).has_value());
    }
    EXPECT_EQ(budget.stats().misses, 1U);
    EXPECT_EQ(budget.stats().slices, 0U);
    EXPECT_EQ(budget.stats().bytes, 0U);
}

}  // namespace
}  // namespace qed::test
