// SPDX-License-Identifier: Apache-2.0
// What the L1 table alone says: that a table has to be read, or that there is none, and how far.
#include "cache/level_one.hpp"

#include <gtest/gtest.h>

#include "unit/cache/cache_units.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kSpan = std::uint64_t{1} << 31;
constexpr Entry kTable = std::uint64_t{1} << 20;

class LevelOneTest : public testing::Test {
protected:
    LevelOne level_one_{kTestTables};
};

TEST_F(LevelOneTest, HasAnEntryForEachTableOfTheLargestImage) {
    ASSERT_TRUE(level_one_.is_valid());
    EXPECT_EQ(level_one_.capacity(), kTestTables.max_guest_bytes / kSpan);
    EXPECT_EQ(level_one_.entry(level_one_.capacity() - 1), kUnallocatedEntry);
}

TEST_F(LevelOneTest, PartOfATableCountsAsATable) {
    TableShape tables = kTestTables;
    tables.max_guest_bytes = kSpan + 1;
    EXPECT_EQ(LevelOne(tables).capacity(), 2U);
}

TEST_F(LevelOneTest, ReplaceReturnsTheOldEntry) {
    EXPECT_EQ(level_one_.replace(3, kTable), kUnallocatedEntry);
    EXPECT_EQ(level_one_.replace(3, 2 * kTable), kTable);
    EXPECT_EQ(level_one_.entry(3), 2 * kTable);
}

TEST_F(LevelOneTest, TableInTheFileIsForTheCacheToLookUp) {
    level_one_.replace(3, kTable);
    const Mapping found = level_one_.find({3 * kSpan + 5}, 100).mapping();
    EXPECT_EQ(found.kind, Mapping::Kind::not_loaded);
    EXPECT_EQ(found.length, 0U);
}

TEST_F(LevelOneTest, RangeWithoutTablesEndsWhereATableBegins) {
    level_one_.replace(5, kTable);
    const Mapping found = level_one_.find({3 * kSpan + 5}, 10 * kSpan).mapping();
    EXPECT_EQ(found.kind, Mapping::Kind::unallocated);
    EXPECT_EQ(found.length, 2 * kSpan - 5);
}

TEST_F(LevelOneTest, RangeOfBadEntriesIsOneAnswerOfItsOwn) {
    level_one_.replace(5, kBadEntry);
    level_one_.replace(6, kBadEntry);
    EXPECT_EQ(level_one_.find({4 * kSpan}, 10 * kSpan).mapping().length, kSpan);
    const Mapping bad = level_one_.find({5 * kSpan}, 10 * kSpan).mapping();
    EXPECT_EQ(bad.kind, Mapping::Kind::corrupt);
    EXPECT_EQ(bad.length, 2 * kSpan);
}

TEST_F(LevelOneTest, AnswerIsNeverLongerThanTheQuestion) {
    for (const std::uint64_t length : {std::uint64_t{1}, std::uint64_t{4096}, kSpan, 3 * kSpan}) {
        const Mapping found = level_one_.find({7 * kSpan - 1}, length).mapping();
        EXPECT_EQ(found.length, length);
    }
}

TEST_F(LevelOneTest, AnswerEndsWithTheLastEntry) {
    const std::uint64_t last = (level_one_.capacity() - 1) * kSpan;
    EXPECT_EQ(level_one_.find({last}, kSpan).mapping().length, kSpan);
}

}  // namespace
}  // namespace qed::test
