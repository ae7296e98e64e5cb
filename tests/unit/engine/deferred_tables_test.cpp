// SPDX-License-Identifier: Apache-2.0
// Updates that wait in memory, as the committer makes and writes them in deferred order.
#include "engine/deferred_tables.hpp"

#include <gtest/gtest.h>

#include "committer_fixture.hpp"

namespace qed {
namespace {

using test::CommitterFixture;
using test::MemoryFile;

constexpr TableCommitter::Rules kDeferred{
    .strict = true, .defers = true, .deferred_limit = 1U << 20, .freed_limit = 1U << 20};

TEST(DeferredTablesTest, AWaitingUpdateIsVisibleButNotInTheFile) {
    CommitterFixture fixture(kDeferred);
    ASSERT_TRUE(fixture.commit(fixture.data(3)));
    EXPECT_EQ(fixture.image.find(3).kind, Mapping::Kind::data);
    EXPECT_EQ(fixture.steps(), "");
    EXPECT_TRUE(fixture.committer.has_deferred());
}

TEST(DeferredTablesTest, DataIsFlushedBeforeTheEntriesAreWritten) {
    CommitterFixture fixture(kDeferred);
    ASSERT_TRUE(fixture.commit(fixture.data(3)));
    ASSERT_TRUE(fixture.write_deferred());
    EXPECT_EQ(fixture.steps(), "ft");
    EXPECT_EQ(fixture.entry_in_file(3), CommitterFixture::storage(0).value);
    EXPECT_FALSE(fixture.committer.has_deferred());
}

TEST(DeferredTablesTest, ANewTableIsWrittenBeforeTheFlushAndLinkedAfterIt) {
    CommitterFixture fixture(kDeferred);
    const std::uint64_t cluster = fixture.image.shape.table_entries() + 7;
    ASSERT_TRUE(fixture.commit(fixture.data(cluster)));
    ASSERT_TRUE(fixture.write_deferred());
    EXPECT_EQ(fixture.steps(), "nfl");
}

TEST(DeferredTablesTest, WhatCouldNotBeWrittenWaitsForTheNextAttempt) {
    CommitterFixture fixture(kDeferred);
    ASSERT_TRUE(fixture.commit(fixture.data(3)));
    fixture.image.memory.requests = 0;
    fixture.image.memory.fault = MemoryFile::Fault{.nth = 1, .only = IoKind::write};
    EXPECT_FALSE(fixture.write_deferred());
    EXPECT_TRUE(fixture.committer.has_deferred());
    EXPECT_EQ(fixture.image.find(3).kind, Mapping::Kind::data) << "the request was acknowledged";
    fixture.image.memory.fault.reset();
    ASSERT_TRUE(fixture.write_deferred());
    EXPECT_EQ(fixture.entry_in_file(3), CommitterFixture::storage(0).value);
}

TEST(DeferredTablesTest, AReplacedClusterIsFreedOnlyOnceTheFileDoesNotNameIt) {
    CommitterFixture fixture(kDeferred);
    ASSERT_TRUE(fixture.commit(fixture.data(3)));
    ASSERT_TRUE(fixture.write_deferred());
    ASSERT_TRUE(fixture.commit(
        {.at = fixture.image.guest(3), .clusters = 1, .state = MappingUpdate::State::zero}));
    EXPECT_EQ(fixture.allocator.freed_clusters(), 0U);
    ASSERT_TRUE(fixture.write_deferred());
    EXPECT_EQ(fixture.allocator.freed_clusters(), 1U);
}

TEST(DeferredTablesTest, MoreFreedClustersThanTheLimitAreFlushedBeforeTheNextUpdate) {
    TableCommitter::Rules rules = kDeferred;
    rules.freed_limit = CommitterFixture::kCluster;
    CommitterFixture fixture(rules);
    ASSERT_TRUE(fixture.commit(fixture.data(3, 2)));
    ASSERT_TRUE(fixture.write_deferred());
    fixture.history.clear();
    MappingUpdate zeroes{
        .at = fixture.image.guest(3), .clusters = 1, .state = MappingUpdate::State::zero};
    ASSERT_TRUE(fixture.commit(zeroes));
    EXPECT_EQ(fixture.steps(), "");
    zeroes.at = fixture.image.guest(4);
    ASSERT_TRUE(fixture.commit(zeroes));
    EXPECT_EQ(fixture.steps(), "");
    ASSERT_TRUE(fixture.commit(fixture.data(10, 1, 4)));
    EXPECT_EQ(fixture.steps(), "ftf") << "the last flush makes the clusters free";
    EXPECT_EQ(fixture.allocator.unflushed_bytes(), 0U);
}

TEST(DeferredTablesTest, MoreThanTheLimitIsWrittenBeforeTheNextUpdate) {
    TableCommitter::Rules rules = kDeferred;
    rules.deferred_limit = 4096;
    CommitterFixture fixture(rules);
    ASSERT_TRUE(fixture.commit(fixture.data(0)));
    EXPECT_EQ(fixture.steps(), "");
    ASSERT_TRUE(fixture.commit(fixture.data(fixture.image.entries_in_slice(), 1, 1)));
    EXPECT_EQ(fixture.steps(), "");
    ASSERT_TRUE(fixture.commit(fixture.data(1, 1, 2)));
    EXPECT_EQ(fixture.steps(), "ftt");
}

TEST(DeferredTablesTest, AnUpdateThatFailsBecauseTheLimitIsReachedHasNoEffectLater) {
    TableCommitter::Rules rules = kDeferred;
    rules.deferred_limit = 1024;
    CommitterFixture fixture(rules);
    ASSERT_TRUE(fixture.commit(fixture.data(0)));
    fixture.image.memory.fault =
        test::MemoryFile::Fault{.nth = 1, .error = ENOSPC, .sticky = true, .only = IoKind::write};
    fixture.image.memory.requests = 0;
    EXPECT_FALSE(fixture.commit(fixture.data(1, 1, 1)));
    fixture.image.memory.fault.reset();
    ASSERT_TRUE(fixture.write_deferred());
    EXPECT_NE(fixture.entry_in_file(0), 0U);
    EXPECT_EQ(fixture.entry_in_file(1), 0U);
}

}  // namespace
}  // namespace qed
