// SPDX-License-Identifier: Apache-2.0
#include "engine/table_committer.hpp"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "committer_fixture.hpp"

namespace qed {
namespace {

using test::CommitterFixture;
using test::MemoryFile;
using test::Running;

constexpr TableCommitter::Rules kStrict{.strict = true};
constexpr TableCommitter::Rules kOrdered{.strict = false};

/// A cluster that no table maps yet.
std::uint64_t unmapped(const CommitterFixture& fixture) {
    return fixture.image.shape.table_entries() + 7;
}

TEST(TableCommitterTest, AnUpdateIsInTheFileAndVisibleOnceItHasSucceeded) {
    CommitterFixture fixture(kStrict);
    ASSERT_TRUE(fixture.commit(fixture.data(3, 2, 10)));
    EXPECT_EQ(fixture.entry_in_file(3), CommitterFixture::storage(10).value);
    EXPECT_EQ(fixture.entry_in_file(4), CommitterFixture::storage(11).value);
    const Mapping found = fixture.image.find(3, 2);
    EXPECT_EQ(found.kind, Mapping::Kind::data);
    EXPECT_EQ(found.offset, CommitterFixture::storage(10));
    EXPECT_EQ(found.length, 2 * CommitterFixture::kCluster);
}

TEST(TableCommitterTest, AnUpdateAfterAFlushIsWrittenAfterTheFlush) {
    CommitterFixture fixture(kStrict);
    MappingUpdate update = fixture.data(3);
    update.after_flush = true;
    ASSERT_TRUE(fixture.commit(update));
    EXPECT_EQ(fixture.steps(), "ft");
}

TEST(TableCommitterTest, AFailedFlushWritesAndPublishesNothing) {
    CommitterFixture fixture(kStrict);
    fixture.image.load(3);
    fixture.image.memory.requests = 0;
    fixture.image.memory.fault = MemoryFile::Fault{.nth = 1, .only = IoKind::flush};
    MappingUpdate update = fixture.data(3);
    update.after_flush = true;
    EXPECT_FALSE(fixture.commit(update));
    EXPECT_EQ(fixture.entry_in_file(3), kUnallocatedEntry);
    EXPECT_EQ(fixture.image.find(3).kind, Mapping::Kind::unallocated);
}

TEST(TableCommitterTest, AFailedTableWriteIsNotPublishedAndTheSliceIsReadAgain) {
    CommitterFixture fixture(kStrict);
    fixture.image.load(3);
    fixture.image.memory.requests = 0;
    fixture.image.memory.fault = MemoryFile::Fault{.nth = 1, .only = IoKind::write};
    EXPECT_FALSE(fixture.commit(fixture.data(3)));
    EXPECT_EQ(fixture.image.find(3).kind, Mapping::Kind::not_loaded)
        << "the file may hold either entry";
    EXPECT_EQ(fixture.image.load(3)->kind, Mapping::Kind::unallocated);
}

TEST(TableCommitterTest, AMarkerReplacesACluster) {
    CommitterFixture fixture(kStrict);
    ASSERT_TRUE(fixture.commit(fixture.data(3)));
    ASSERT_TRUE(fixture.commit(
        {.at = fixture.image.guest(3), .clusters = 1, .state = MappingUpdate::State::zero}));
    EXPECT_EQ(fixture.entry_in_file(3), kZeroEntry);
    EXPECT_EQ(fixture.image.find(3).kind, Mapping::Kind::zero);
    EXPECT_EQ(fixture.allocator.freed_clusters(), 1U);
}

TEST(TableCommitterTest, InOrderedOrderTheMarkIsSetOnceBeforeTheFirstEntry) {
    CommitterFixture fixture(kOrdered);
    ASSERT_TRUE(fixture.commit(fixture.data(3)));
    ASSERT_TRUE(fixture.commit(fixture.data(4, 1, 1)));
    EXPECT_EQ(fixture.marker.sets, 1);
    EXPECT_EQ(fixture.steps(), "tt") << "no flush is needed";
}

TEST(TableCommitterTest, WithoutTheMarkNoEntryIsWritten) {
    CommitterFixture fixture(kOrdered);
    fixture.marker.fails = true;
    EXPECT_FALSE(fixture.commit(fixture.data(3)));
    EXPECT_EQ(fixture.steps(), "");
    EXPECT_EQ(fixture.entry_in_file(3), kUnallocatedEntry);
}

TEST(TableCommitterTest, InStrictOrderTheMarkIsNeverSet) {
    CommitterFixture fixture(kStrict);
    ASSERT_TRUE(fixture.commit(fixture.data(unmapped(fixture))));
    EXPECT_EQ(fixture.marker.sets, 0);
}

TEST(TableCommitterTest, ANewTableIsDurableBeforeTheL1EntryNamesIt) {
    CommitterFixture fixture(kStrict);
    ASSERT_TRUE(fixture.commit(fixture.data(unmapped(fixture))));
    EXPECT_EQ(fixture.steps(), "nfl");
    EXPECT_EQ(fixture.image.memory.load_u64(CommitterFixture::kL1At + 8),
              fixture.image.cache->l1(1));
    EXPECT_EQ(fixture.image.find(unmapped(fixture)).kind, Mapping::Kind::data);
}

TEST(TableCommitterTest, ANewTableWhoseLinkFailsIsNotUsed) {
    CommitterFixture fixture(kStrict);
    fixture.image.memory.requests = 0;
    fixture.image.memory.fault = MemoryFile::Fault{.nth = 2, .only = IoKind::write};
    EXPECT_FALSE(fixture.commit(fixture.data(unmapped(fixture))));
    EXPECT_EQ(fixture.image.cache->l1(1), kUnallocatedEntry);
    EXPECT_EQ(fixture.image.find(unmapped(fixture)).kind, Mapping::Kind::unallocated);
    EXPECT_TRUE(fixture.commit(fixture.data(unmapped(fixture), 1, 1)));
}

TEST(TableCommitterTest, RequestsThatAreReadAtOnceShareAGroupAndAWrite) {
    CommitterFixture fixture(kStrict);
    std::vector<MappingUpdate> updates;
    for (std::uint64_t i = 0; i < 8; ++i) {
        updates.push_back(fixture.data(10 + i, 1, 20 + i));
        updates.back().after_flush = true;
    }
    {
        std::vector<std::unique_ptr<Running<Result<void>>>> running;
        for (const MappingUpdate& update : updates) {
            running.push_back(std::make_unique<Running<Result<void>>>(
                fixture.image.executor, fixture.committer.commit(update)));
        }
        fixture.image.executor.run();
        for (const auto& request : running)
            EXPECT_TRUE(request->result());
    }
    EXPECT_EQ(fixture.steps(), "ft");
    EXPECT_EQ(fixture.committer.totals().groups, 1U);
    EXPECT_EQ(fixture.committer.totals().updates, 8U);
}

TEST(TableCommitterTest, AFailureOfAGroupIsReportedToEachOfItsRequests) {
    CommitterFixture fixture(kStrict);
    fixture.image.memory.fault = MemoryFile::Fault{.nth = 1, .only = IoKind::write};
    fixture.image.memory.requests = 0;
    const MappingUpdate one = fixture.data(10);
    const MappingUpdate two = fixture.data(11, 1, 1);
    Running<Result<void>> first(fixture.image.executor, fixture.committer.commit(one));
    Running<Result<void>> second(fixture.image.executor, fixture.committer.commit(two));
    fixture.image.executor.run();
    EXPECT_FALSE(first.result());
    EXPECT_FALSE(second.result());
}

TEST(TableCommitterTest, ASectorWithABadEntryIsNotWritten) {
    CommitterFixture fixture(kStrict);
    fixture.image.put(5, 12345);  // what it meant is not known
    const auto done = fixture.commit(fixture.data(3));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::corrupt_metadata);
    EXPECT_EQ(fixture.entry_in_file(5), 12345U);
    EXPECT_EQ(fixture.steps(), "");
}

}  // namespace
}  // namespace qed
