// SPDX-License-Identifier: Apache-2.0
// The index of slices: what readers find, and the versions that tell them to look again.
#include "cache/slice_directory.hpp"

#include <gtest/gtest.h>

#include "unit/cache/cache_units.hpp"

namespace qed::test {
namespace {

const SliceWord kZeroes = SliceWord::make(Form::uniform, kZeroEntry);
const SliceWord kEmpty = SliceWord::make(Form::uniform, kUnallocatedEntry);

class SliceDirectoryTest : public testing::Test {
protected:
    SliceDirectory& directory() { return units_.directory; }
    CacheUnits units_;
};

TEST_F(SliceDirectoryTest, NewDirectoryTakesNoMemoryAndHasVersionZero) {
    ASSERT_TRUE(directory().is_valid());
    EXPECT_EQ(units_.budget.stats().bytes, 0U);
    const BudgetLock lock(units_.budget);
    EXPECT_EQ(directory().find(7), nullptr);
    EXPECT_EQ(directory().version(7), 0U);
    EXPECT_EQ(directory().first_from(0), nullptr);
}

TEST_F(SliceDirectoryTest, NewBlockIsCountedAndFound) {
    {
        const BudgetLock lock(units_.budget);
        DirectoryBlock* block = directory().find_or_make(70);
        ASSERT_NE(block, nullptr);
        EXPECT_EQ(block->slot, 1U);
        EXPECT_EQ(directory().find_or_make(71), block) << "64 slices share a block";
        EXPECT_EQ(directory().find(63), nullptr);
        EXPECT_GT(directory().version(70), 0U);
        EXPECT_TRUE(block->word(6).is_absent());
    }
    EXPECT_GT(units_.budget.stats().bytes, 4096U) << "a page of slots, and the block";
}

TEST_F(SliceDirectoryTest, ReplacingAWordAdvancesTheVersion) {
    const BudgetLock lock(units_.budget);
    DirectoryBlock* block = directory().find_or_make(3);
    const std::uint64_t first = directory().version(3);
    directory().set_word(*block, 3, kZeroes);
    EXPECT_EQ(directory().version(3), first) << "readers had nothing to believe there";
    EXPECT_EQ(directory().present(), 1U);
    directory().set_word(*block, 3, kEmpty);
    const std::uint64_t second = directory().version(3);
    EXPECT_GT(second, first);
    EXPECT_EQ(directory().present(), 1U);
    directory().set_word(*block, 3, SliceWord());
    EXPECT_GT(directory().version(3), second);
    EXPECT_EQ(directory().present(), 0U);
    directory().invalidate(*block);
    EXPECT_GT(directory().version(3), second + 1);
}

TEST_F(SliceDirectoryTest, VersionsAreNeverUsedTwice) {
    const BudgetLock lock(units_.budget);
    std::uint64_t latest = 0;
    for (int i = 0; i < 10; ++i) {
        DirectoryBlock* block = directory().find_or_make(3);
        EXPECT_GT(directory().version(3), latest) << "not even after the block had gone";
        latest = directory().version(3);
        DirectoryBlock* other = directory().find_or_make(64);
        EXPECT_GT(directory().version(64), latest) << "nor in another slot";
        latest = directory().version(64);
        directory().erase(*block);
        directory().erase(*other);
        // The page of slots went with its last block: 0 says so, whatever else is read there.
        EXPECT_EQ(directory().version(3), 0U);
    }
}

TEST_F(SliceDirectoryTest, ErasedBlockLeavesNothingBehind) {
    {
        const BudgetLock lock(units_.budget);
        DirectoryBlock* block = directory().find_or_make(3);
        directory().set_word(*block, 3, kZeroes);
        directory().set_word(*block, 9, kZeroes);
        DirectoryBlock* neighbour = directory().find_or_make(100);
        const std::uint64_t before = directory().version(3);
        directory().erase(*block);
        EXPECT_EQ(directory().find(3), nullptr);
        EXPECT_GT(directory().version(3), before);
        EXPECT_EQ(directory().present(), 0U);
        directory().erase(*neighbour);
    }
    EXPECT_EQ(units_.budget.stats().bytes, 0U);
}

TEST_F(SliceDirectoryTest, FirstFromFindsBlocksAcrossEmptyPages) {
    const BudgetLock lock(units_.budget);
    const std::uint64_t far = std::uint64_t{64} * 15000;
    DirectoryBlock* low = directory().find_or_make(64 * 3);
    DirectoryBlock* high = directory().find_or_make(far);
    EXPECT_EQ(directory().first_from(0), low);
    EXPECT_EQ(directory().first_from(3), low);
    EXPECT_EQ(directory().first_from(4), high);
    EXPECT_EQ(directory().first_from(15001), nullptr);
}

TEST_F(SliceDirectoryTest, TrimEvictsBlocksThatHaveNoRecords) {
    {
        const BudgetLock lock(units_.budget);
        DirectoryBlock* kept = directory().find_or_make(3);
        ++kept->records;
        directory().set_word(*kept, 3, kZeroes);
        directory().set_word(*directory().find_or_make(100), 36, kZeroes);
    }
    units_.budget.trim();
    const BudgetLock lock(units_.budget);
    ASSERT_NE(directory().find(3), nullptr);
    EXPECT_EQ(directory().find(100), nullptr);
    --directory().find(3)->records;
}

TEST(SliceAddressingTest, PartsOfAnOffsetMakeUpTheOffset) {
    const SliceAddressing addressing = SliceAddressing::make(kTestTables);
    const GuestOffset at{(std::uint64_t{5} << 31) + (std::uint64_t{77} << 16) + 123};
    EXPECT_EQ(addressing.table(at), 5U);
    EXPECT_EQ(addressing.slice(at), 5U * 64);
    EXPECT_EQ(addressing.slot(at), 5U);
    EXPECT_EQ(addressing.in_block(at), 0U);
    EXPECT_EQ(addressing.entry(at), 77U);
    EXPECT_EQ(addressing.in_cluster(at), 123U);
    EXPECT_EQ(addressing.table_of(addressing.slice(at)), 5U);
    EXPECT_EQ(addressing.slice_at(addressing.slot(at), addressing.in_block(at)), 5U * 64);
}

TEST(SliceAddressingTest, SlicesAreNoLargerThanATable) {
    TableShape tables = kTestTables;
    tables.entries_per_table = 128;
    EXPECT_EQ(SliceAddressing::make(tables).slice_entries(), 128U);
    EXPECT_EQ(SliceAddressing::make(tables).slices_in_table(), 1U);
}

TEST(SliceAddressingTest, LargestImageGetsSlicesThatFitTheDirectory) {
    TableShape tables = kTestTables;
    tables.entry_span_bits = 12;
    tables.slice_entries = 64;
    tables.max_guest_bytes = std::uint64_t{1} << 63;
    const SliceAddressing addressing = SliceAddressing::make(tables);
    EXPECT_GT(addressing.slice_entries(), 64U);
    EXPECT_LE(addressing.slot({tables.max_guest_bytes - 1}), (1U << kMaxSlotBits) - 1);
}

}  // namespace
}  // namespace qed::test
