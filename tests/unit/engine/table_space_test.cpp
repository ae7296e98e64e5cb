// SPDX-License-Identifier: Apache-2.0
// Tables and entries on a file system that is, or becomes, full.
#include "engine/table_space.hpp"

#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "base/endian.hpp"
#include "committer_fixture.hpp"

namespace qed {
namespace {

using test::CommitterFixture;
using test::MemoryFile;
using test::Running;

constexpr TableCommitter::Rules kStrict{.strict = true};
constexpr TableCommitter::Rules kOrdered{.strict = false};
constexpr TableCommitter::Rules kDeferred{
    .strict = true, .defers = true, .deferred_limit = 1U << 20, .freed_limit = 1U << 20};
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kPlenty = 1U << 30;

class TableSpaceTest : public testing::Test {
protected:
    void start(const TableCommitter::Rules& rules) {
        fixture_.emplace(rules);
        fixture_->image.memory.can_reserve = true;
        file().space_left = kPlenty;
    }
    CommitterFixture& fixture() { return *fixture_; }
    MemoryFile& file() { return fixture_->image.memory; }
    /// A cluster of the second table, which does not exist yet.
    std::uint64_t unmapped(std::uint64_t index = 0) const {
        return fixture_->image.shape.table_entries() + index;
    }
    MappingUpdate zeroes(std::uint64_t cluster) const {
        return {.at = fixture_->image.guest(cluster),
                .clusters = 1,
                .state = MappingUpdate::State::zero};
    }

private:
    std::optional<CommitterFixture> fixture_;
};

TEST_F(TableSpaceTest, AChangeOfAnEntryInATableThatWasMadeNeedsNoSpace) {
    start(kStrict);
    ASSERT_TRUE(fixture().commit(fixture().data(unmapped())));
    file().space_left = 0;
    const std::uint64_t far = fixture().image.shape.table_entries() - 1;
    EXPECT_TRUE(fixture().commit(zeroes(unmapped(far))));
    EXPECT_EQ(fixture().image.find(unmapped(far)).kind, Mapping::Kind::zero);
}

TEST_F(TableSpaceTest, OnlyThePartOfATableThatTheDiskUsesIsReserved) {
    start(kStrict);
    fixture().disk.bytes = (unmapped() + 1) * CommitterFixture::kCluster;
    file().space_left = 2 * kPage;  // a slice, and a sector of the L1 table
    EXPECT_TRUE(fixture().commit(fixture().data(unmapped())));
}

TEST_F(TableSpaceTest, ATableWithoutSpaceIsNotMadeAndItsClustersStayFree) {
    for (const TableCommitter::Rules& rules : {kStrict, kDeferred}) {
        start(rules);
        file().space_left = 2 * kPage;
        const std::uint64_t end = fixture().allocator.end();
        const auto done = fixture().commit(fixture().data(unmapped()));
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code(), Errc::no_space);
        EXPECT_EQ(fixture().steps(), "");
        EXPECT_EQ(fixture().image.cache->l1(1), kUnallocatedEntry);
        EXPECT_EQ(fixture().image.find(unmapped()).kind, Mapping::Kind::unallocated);
        const std::uint64_t table_clusters = fixture().allocator.end() - end;
        EXPECT_EQ(fixture().allocator.free_clusters() * CommitterFixture::kCluster, table_clusters);
        file().space_left = kPlenty;
        EXPECT_TRUE(fixture().commit(fixture().data(unmapped())));
    }
}

TEST_F(TableSpaceTest, AnUpdateOfAnotherTableInTheSameGroupSucceeds) {
    start(kStrict);
    ASSERT_TRUE(fixture().commit(fixture().data(3)));
    file().space_left = 0;
    const MappingUpdate needs_table = fixture().data(unmapped(), 1, 1);
    const MappingUpdate trims = zeroes(3);
    Running<Result<void>> first(fixture().image.executor, fixture().committer.commit(needs_table));
    Running<Result<void>> second(fixture().image.executor, fixture().committer.commit(trims));
    fixture().image.executor.run();
    EXPECT_FALSE(first.result());
    EXPECT_TRUE(second.result());
    EXPECT_EQ(fixture().committer.totals().groups, 2U);
    EXPECT_EQ(fixture().entry_in_file(3), kZeroEntry);
}

TEST_F(TableSpaceTest, WhereTheFileCannotGrowATableTakesFreeClustersWithOldData) {
    for (const TableCommitter::Rules& rules : {kStrict, kOrdered, kDeferred}) {
        start(rules);
        const std::uint64_t at = CommitterFixture::storage(16).value;
        const std::uint64_t table_bytes = fixture().image.shape.table_bytes();
        file().fill(at, table_bytes, std::byte{0xEE});
        fixture().allocator.abandon({.offset = {at}, .clusters = 4});
        file().fault =
            MemoryFile::Fault{.nth = 1, .error = ENOSPC, .sticky = true, .only = IoKind::truncate};
        const auto done = fixture().commit(fixture().data(unmapped()));
        ASSERT_TRUE(done) << done.error().message();
        ASSERT_TRUE(fixture().write_deferred());
        EXPECT_EQ(fixture().image.cache->l1(1), at);
        EXPECT_EQ(file().load_u64(CommitterFixture::kL1At + 8), at);
        std::vector<std::byte> table(table_bytes);
        store_le64(table, 0, CommitterFixture::storage(0).value);
        EXPECT_EQ(file().load(at, table_bytes), table);
        EXPECT_TRUE(fixture().steps().starts_with("nf")) << "cleared for good";
    }
}

TEST_F(TableSpaceTest, AStorageThatCannotReserveTakesNewTables) {
    start(kStrict);
    file().fault =
        MemoryFile::Fault{.nth = 1, .error = EOPNOTSUPP, .sticky = true, .only = IoKind::allocate};
    EXPECT_TRUE(fixture().commit(fixture().data(unmapped())));
    file().can_reserve = false;
    file().requests = 0;
    EXPECT_TRUE(fixture().commit(fixture().data(unmapped(1), 1, 1)));
    EXPECT_EQ(file().requests, 0U);
}

TEST_F(TableSpaceTest, WhatWaitsInMemoryCanBeWrittenToAFullDisk) {
    start(kDeferred);
    ASSERT_TRUE(fixture().commit(fixture().data(3)));
    ASSERT_TRUE(fixture().commit(fixture().data(unmapped(7), 1, 1)));
    file().space_left = 0;
    ASSERT_TRUE(fixture().commit(fixture().data(4, 1, 2))) << "the slice of cluster 3";
    ASSERT_TRUE(fixture().commit(fixture().data(unmapped(9999), 1, 3))) << "in the new table";
    const auto written = fixture().write_deferred();
    EXPECT_TRUE(written) << written.error().message();
    EXPECT_EQ(fixture().entry_in_file(4), CommitterFixture::storage(2).value);
}

TEST_F(TableSpaceTest, AnUpdateThatFindsNoSpaceFailsBeforeItTakesEffect) {
    start(kDeferred);
    file().space_left = 0;
    const auto done = fixture().commit(fixture().data(3));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::no_space);
    EXPECT_FALSE(fixture().committer.has_deferred());
    file().space_left = kPlenty;
    ASSERT_TRUE(fixture().write_deferred());
    EXPECT_EQ(fixture().entry_in_file(3), kUnallocatedEntry);
}

TEST_F(TableSpaceTest, ASliceIsReservedOnce) {
    start(kDeferred);
    ASSERT_TRUE(fixture().commit(fixture().data(3)));
    ASSERT_TRUE(fixture().write_deferred());
    file().fault = MemoryFile::Fault{.nth = 1, .sticky = true, .only = IoKind::allocate};
    file().requests = 0;
    ASSERT_TRUE(fixture().commit(fixture().data(4, 1, 1)));
    EXPECT_EQ(file().requests, 0U);
}

}  // namespace
}  // namespace qed
