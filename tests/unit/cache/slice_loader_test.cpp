// SPDX-License-Identifier: Apache-2.0
// Misses: which request reads, which ones wait, and what is committed when something has changed
// meanwhile. Through the facade; reads end when the test says so.
#include "cache/slice_loader.hpp"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kCluster = 65536;

class SliceLoaderTest : public testing::Test {
protected:
    static constexpr std::uint64_t kPerSlice = 512;

    /// First cluster of a slice.
    static std::uint64_t at(std::uint64_t slice) { return slice * kPerSlice; }
    CacheStats stats() const { return budget_.stats(); }

    MemoryBudget budget_{kMiB};
    TableImage image_{budget_, 4, {.readahead_slices = 1}};
};

class SliceLoaderReadAheadTest : public SliceLoaderTest {
protected:
    SliceLoaderReadAheadTest() { image_ahead_.put_scattered(1); }
    /// Starts a read of slices `first` and `first + 1`: the second sequential miss doubles it.
    Running<Result<Mapping>> start_reading_two(std::uint64_t first) {
        EXPECT_TRUE(image_ahead_.load(at(first - 1)).has_value());
        auto load = image_ahead_.start_load(at(first));
        EXPECT_EQ(image_ahead_.file.held_read(0).length, 8192U);
        return load;
    }
    TableImage image_ahead_{budget_, 4, {.readahead_slices = 8}};
};

TEST_F(SliceLoaderTest, MissReadsOneSliceNotTheWholeTable) {
    auto load = image_.start_load(at(3) + 17);
    EXPECT_EQ(image_.file.held_read(0).offset, image_.table(0) + 3 * 4096);
    EXPECT_EQ(image_.file.held_read(0).length, 4096U);
    image_.end_read();
}

TEST_F(SliceLoaderTest, PinningASliceWithoutATableGivesAnEmptyPin) {
    image_.cache->set_l1(0, 0);
    EXPECT_FALSE(image_.pin(0));
    EXPECT_EQ(image_.file.reads(), 0U);
}

TEST_F(SliceLoaderTest, MissesOfOneSliceShareOneRead) {
    image_.put(3, 8 * kCluster);
    auto one = image_.start_load(3);
    auto two = image_.start_load(4);
    auto three = image_.start_pin(0);
    EXPECT_EQ(image_.file.held(), 1U);
    EXPECT_EQ(stats().loads_in_flight, 1U);
    image_.end_read();
    ASSERT_TRUE(one.done() && two.done() && three.done());
    EXPECT_EQ(one.result()->offset.value, 8 * kCluster);
    EXPECT_EQ(two.result()->kind, Mapping::Kind::unallocated);
    EXPECT_EQ(three.result()->entry(3), 8 * kCluster);
    EXPECT_EQ(image_.file.reads(), 1U);
    EXPECT_EQ(stats().misses, 1U);
    EXPECT_EQ(stats().coalesced, 2U);
    EXPECT_EQ(stats().loads_in_flight, 0U);
}

TEST_F(SliceLoaderTest, HitsAndMissesOfOtherSlicesDoNotWaitForARead) {
    image_.put(at(1), 8 * kCluster);
    image_.put(at(2), 9 * kCluster);
    ASSERT_TRUE(image_.load(at(1)).has_value());
    auto slow = image_.start_load(0);
    EXPECT_EQ(image_.find(at(1)).offset.value, 8 * kCluster);
    auto other = image_.start_load(at(2));
    ASSERT_EQ(image_.file.held(), 2U);
    image_.file.end_read_at(1);
    image_.executor.run();
    EXPECT_TRUE(other.done());
    EXPECT_FALSE(slow.done());
    image_.end_read();
    EXPECT_TRUE(slow.done());
}

TEST_F(SliceLoaderTest, FailedReadIsReportedToAllWaitersAndTheNextLookupTriesAgain) {
    auto one = image_.start_load(3);
    auto two = image_.start_load(4);
    auto three = image_.start_pin(0);
    image_.end_read(EIO);
    ASSERT_TRUE(one.done() && two.done() && three.done());
    for (const Error* error :
         {&one.result().error(), &two.result().error(), &three.result().error()}) {
        EXPECT_EQ(error->code(), Errc::io_error);
        EXPECT_NE(error->message().find("reading the L2 table at 0x100000"), std::string::npos)
            << error->message();
    }
    EXPECT_EQ(stats().slices, 0U);
    EXPECT_EQ(stats().loads_in_flight, 0U);
    EXPECT_EQ(image_.load(3)->kind, Mapping::Kind::unallocated);
}

TEST_F(SliceLoaderReadAheadTest, OfTwoCopiesThatMeetTheOneInTheCacheWins) {
    auto slow = start_reading_two(1);
    image_ahead_.put(at(2), 50 * kCluster);  // since the slow read began
    ASSERT_EQ(image_ahead_.load(at(2))->offset.value, 50 * kCluster);
    const SliceRef pin = image_ahead_.pin(2);
    image_ahead_.end_read();
    ASSERT_TRUE(slow.done());
    EXPECT_EQ(image_ahead_.find(at(2)).offset.value, 50 * kCluster);
    EXPECT_EQ(pin.entry(0), 50 * kCluster);
    EXPECT_EQ(stats().duplicates_dropped, 1U);
}

TEST_F(SliceLoaderReadAheadTest, SequentialMissesReadTwiceAsMuchEachTimeAndNeverBeyondTheTable) {
    std::vector<std::uint64_t> lengths;
    image_ahead_.file.holds = false;
    for (std::uint64_t slice = 0; slice < 64; ++slice) {
        if (image_ahead_.find(at(slice)).kind != Mapping::Kind::not_loaded) continue;
        image_ahead_.file.holds = true;
        auto load = image_ahead_.start_load(at(slice));
        lengths.push_back(image_ahead_.file.held_read(0).length / 4096);
        image_ahead_.end_read();
    }
    EXPECT_EQ(lengths, (std::vector<std::uint64_t>{1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 1}));
}

TEST_F(SliceLoaderReadAheadTest, RandomMissesReadOneSlice) {
    for (const std::uint64_t slice : {40U, 3U, 30U, 9U, 74U, 50U}) {
        auto load = image_ahead_.start_load(at(slice));
        EXPECT_EQ(image_ahead_.file.held_read(0).length, 4096U);
        image_ahead_.end_read();
    }
}

TEST_F(SliceLoaderReadAheadTest, SeveralReadersInOrderAreKeptApart) {
    std::vector<std::uint64_t> lengths;
    for (std::uint64_t i = 0; i < 3; ++i) {
        for (const std::uint64_t reader : {0U, 64U, 128U}) {
            const std::uint64_t slice = reader + (i == 2 ? 3 : i);
            auto load = image_ahead_.start_load(at(slice));
            lengths.push_back(image_ahead_.file.held_read(0).length / 4096);
            image_ahead_.end_read();
        }
    }
    EXPECT_EQ(lengths, (std::vector<std::uint64_t>{1, 1, 1, 2, 2, 2, 4, 4, 4}));
}

TEST_F(SliceLoaderTest, LoadThatADropOvertookIsReadAgainForAllWaiters) {
    image_.put(0, 8 * kCluster);
    auto one = image_.start_load(0);
    auto two = image_.start_load(0);
    image_.put(0, 9 * kCluster);
    image_.cache->drop(0);
    image_.end_read();
    EXPECT_FALSE(one.done() || two.done());
    EXPECT_EQ(image_.file.held(), 1U) << "one of them reads again, for both";
    image_.end_read();
    ASSERT_TRUE(one.done() && two.done());
    EXPECT_EQ(one.result()->offset.value, 9 * kCluster);
    EXPECT_EQ(two.result()->offset.value, 9 * kCluster);
    EXPECT_EQ(image_.find(0).offset.value, 9 * kCluster);
    EXPECT_EQ(stats().stale_dropped, 1U);
}

TEST_F(SliceLoaderTest, LoadOfATableThatWasReplacedIsNotCommitted) {
    image_.put(0, 8 * kCluster);
    image_.put(image_.shape.table_entries(), 9 * kCluster);  // first entry of the table at table(1)
    auto load = image_.start_load(0);
    image_.cache->set_l1(0, image_.table(1));
    image_.end_read();
    image_.end_read();
    ASSERT_TRUE(load.done());
    EXPECT_EQ(load.result()->offset.value, 9 * kCluster);
}

TEST_F(SliceLoaderReadAheadTest, ReadAheadThatAnUpdateOvertookIsNotCommitted) {
    auto slow = start_reading_two(1);
    {
        const SliceRef pin = image_ahead_.pin(2);
        image_ahead_.put(at(2), 60 * kCluster);
        EXPECT_TRUE(image_ahead_.cache->publish(pin, 0, std::array<Entry, 1>{60 * kCluster}));
    }
    budget_.trim();  // what the update wrote is in the file only
    ASSERT_EQ(image_ahead_.find(at(2)).kind, Mapping::Kind::not_loaded);
    image_ahead_.end_read();
    ASSERT_TRUE(slow.done());
    EXPECT_EQ(image_ahead_.load(at(2))->offset.value, 60 * kCluster);
    EXPECT_GE(stats().stale_dropped, 1U);
}

TEST_F(SliceLoaderReadAheadTest, ReadAheadOfADroppedSliceIsNotCommitted) {
    auto slow = start_reading_two(1);
    image_ahead_.put(at(2), 60 * kCluster);
    image_ahead_.cache->drop(2);
    image_ahead_.end_read();
    ASSERT_TRUE(slow.done());
    EXPECT_EQ(image_ahead_.load(at(2))->offset.value, 60 * kCluster);
}

TEST_F(SliceLoaderReadAheadTest, ReadAheadIntoABlockThatWentAndCameBackIsNotCommitted) {
    auto slow = start_reading_two(1);
    image_ahead_.cache->drop(1);  // the leaf has only the load that is under way
    budget_.trim();
    image_ahead_.put(at(1), 70 * kCluster);
    image_ahead_.put(at(2), 60 * kCluster);
    ASSERT_TRUE(image_ahead_.load(at(40)).has_value());
    image_ahead_.end_read();
    image_ahead_.end_read();
    ASSERT_TRUE(slow.done());
    EXPECT_EQ(slow.result()->offset.value, 70 * kCluster);
    EXPECT_EQ(image_ahead_.load(at(2))->offset.value, 60 * kCluster);
}

}  // namespace
}  // namespace qed::test
