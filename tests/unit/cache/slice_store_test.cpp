// SPDX-License-Identifier: Apache-2.0
// Records and pins: which states of a slice need memory, and who may free it.
#include "cache/slice_store.hpp"

#include <utility>

#include <gtest/gtest.h>

#include "unit/cache/cache_units.hpp"

namespace qed::test {
namespace {

class SliceStoreTest : public testing::Test {
protected:
    void drop(std::uint64_t slice) {
        const BudgetLock lock(units_.budget);
        units_.store.detach(*units_.directory.find(slice)->record(units_.index(slice)));
    }
    CacheStats stats() const { return units_.budget.stats(); }
    CacheUnits units_;
};

TEST_F(SliceStoreTest, InlineSliceHasARecordOnlyWhileItIsPinned) {
    SliceRef pin = units_.put(3, CacheUnits::equal(kZeroEntry));
    EXPECT_TRUE(units_.has_record(3));
    EXPECT_EQ(stats().pinned, 1U);
    pin.reset();
    EXPECT_FALSE(units_.has_record(3));
    EXPECT_EQ(units_.word(3), SliceWord::make(Form::uniform, kZeroEntry));
    EXPECT_EQ(stats().slices, 1U);
    EXPECT_EQ(stats().pinned, 0U);
}

TEST_F(SliceStoreTest, SliceWithAPayloadKeepsItsRecord) {
    const std::vector<Entry> entries = CacheUnits::scattered();
    units_.put(3, entries).reset();
    EXPECT_TRUE(units_.has_record(3));
    const SliceRef pin = units_.store.try_pin(3);
    ASSERT_TRUE(pin);
    std::vector<Entry> read(entries.size());
    pin.entries(0, read);
    EXPECT_EQ(read, entries);
    EXPECT_EQ(pin.entry(17), entries[17]);
}

TEST_F(SliceStoreTest, EachPinCountsOnceAndTheLastOneEndsIt) {
    SliceRef one = units_.put(3, CacheUnits::scattered());
    SliceRef two = units_.store.try_pin(3);
    EXPECT_EQ(one.record().pins, 2U);
    EXPECT_EQ(stats().pinned, 1U) << "slices, not pins";
    one.reset();
    one.reset();
    units_.budget.trim();
    EXPECT_EQ(stats().slices, 1U) << "pinned";
    two = SliceRef();
    units_.budget.trim();
    EXPECT_EQ(stats().slices, 0U);
    EXPECT_EQ(stats().bytes, 0U);
}

TEST_F(SliceStoreTest, UnpinningMoreOftenThanPinningAborts) {
    SliceRef pin = units_.put(3, CacheUnits::scattered());
    SliceRecord& record = pin.record();
    pin.reset();
    EXPECT_DEATH(units_.store.end_pin(record), "pins");
}

TEST_F(SliceStoreTest, AbsentSliceGivesNoPin) {
    EXPECT_FALSE(units_.store.try_pin(3));
    units_.put(4, CacheUnits::equal(kZeroEntry)).reset();
    EXPECT_FALSE(units_.store.try_pin(3)) << "a neighbour in the block does not count";
    EXPECT_FALSE(units_.has_record(3));
}

TEST_F(SliceStoreTest, DetachedSliceKeepsItsContentUntilItsLastPinEnds) {
    const std::vector<Entry> old = CacheUnits::scattered();
    SliceRef pin = units_.put(3, old);
    EXPECT_FALSE(pin.is_detached());
    drop(3);
    EXPECT_TRUE(pin.is_detached());
    EXPECT_TRUE(units_.word(3).is_absent());
    EXPECT_EQ(stats().slices, 0U);
    units_.put(3, CacheUnits::scattered(1)).reset();
    EXPECT_EQ(pin.entry(5), old[5]) << "its memory was not used for the new copy";
    pin.reset();
    EXPECT_EQ(units_.store.try_pin(3).entry(5), CacheUnits::scattered(1)[5]);
    EXPECT_EQ(stats().pinned, 0U);
}

TEST_F(SliceStoreTest, PinOfADetachedSliceMayEndAfterItsBlockWasFreed) {
    SliceRef pin = units_.put(3, CacheUnits::scattered());
    drop(3);
    units_.budget.release_unused();  // the memory of the block goes back to the system
    pin.reset();
    EXPECT_EQ(stats().pinned, 0U);
    EXPECT_EQ(stats().bytes, 0U);
}

TEST_F(SliceStoreTest, DetachedSliceWithoutPinsIsFreedAtOnce) {
    units_.put(3, CacheUnits::scattered()).reset();
    drop(3);
    EXPECT_EQ(stats().bytes, 0U);
}

TEST_F(SliceStoreTest, NewContentReplacesThePayloadAndItsBytes) {
    units_.put(3, CacheUnits::scattered()).reset();
    const std::uint64_t large = stats().bytes;
    units_.put(3, CacheUnits::equal(kZeroEntry)).reset();
    EXPECT_LE(stats().bytes, large - 2048) << "no payload any more, and no record";
    units_.put(3, CacheUnits::scattered()).reset();
    EXPECT_EQ(stats().bytes, large);
}

TEST_F(SliceStoreTest, LookupThroughAPinEndsThePin) {
    const std::vector<Entry> entries = CacheUnits::scattered();
    SliceRef pin = units_.put(0, entries);
    const Found found = units_.store.find_and_unpin(std::move(pin), {5 * kTestCluster + 100}, 4096);
    EXPECT_EQ(found.where, entries[5] + 100);
    EXPECT_EQ(found.length, 4096U);
    EXPECT_EQ(stats().pinned, 0U);
}

TEST_F(SliceStoreTest, EvictionTakesTheSliceAndTheLastOneTakesItsBlock) {
    units_.put(3, CacheUnits::scattered()).reset();
    units_.put(4, CacheUnits::scattered()).reset();
    const BudgetLock lock(units_.budget);
    DirectoryBlock* block = units_.directory.find(3);
    units_.store.evict(*block->record(3));
    EXPECT_EQ(units_.directory.find(3), block);
    units_.store.evict(*block->record(4));
    EXPECT_EQ(units_.directory.find(3), nullptr);
    EXPECT_EQ(units_.counters.sum(CacheCounter::evictions), 2U);
}

}  // namespace
}  // namespace qed::test
