// SPDX-License-Identifier: Apache-2.0
// The file that other tests use must itself behave like a BlockFile.
#include "support/memory_file.hpp"

#include <gtest/gtest.h>

namespace qed::test {
namespace {

std::vector<std::byte> bytes_of(std::size_t count, unsigned char value) {
    return std::vector<std::byte>(count, std::byte{value});
}

TEST(MemoryFileTest, ReadsWhatWasWrittenAndZeroesElsewhere) {
    MemoryFile file;
    const auto data = bytes_of(5000, 7);
    ASSERT_TRUE(file.write({4000}, data).run_blocking().has_value());
    EXPECT_EQ(file.bytes(), 9000U);
    auto read = bytes_of(10000, 0xff);
    ASSERT_TRUE(file.read({0}, read).run_blocking().has_value());
    for (std::size_t i = 0; i < read.size(); ++i) {
        ASSERT_EQ(read[i], std::byte{static_cast<unsigned char>(i >= 4000 && i < 9000 ? 7 : 0)})
            << i;
    }
}

TEST(MemoryFileTest, ShrinkDiscardsBytesAfterTheNewEnd) {
    MemoryFile file;
    file.fill(0, 10000, std::byte{1});
    ASSERT_TRUE(file.truncate(5000).run_blocking().has_value());
    ASSERT_TRUE(file.truncate(10000).run_blocking().has_value());
    EXPECT_EQ(file.load(4999, 2), (std::vector{std::byte{1}, std::byte{0}}));
    EXPECT_EQ(file.load(9000, 1000), bytes_of(1000, 0));
}

TEST(MemoryFileTest, PunchZeroesExactlyTheRange) {
    MemoryFile file;
    file.fill(0, 5 * 4096, std::byte{1});
    ASSERT_TRUE(file.punch({100}, 3 * 4096).run_blocking().has_value());
    EXPECT_EQ(file.bytes(), 5U * 4096);
    EXPECT_EQ(file.load(0, 100), bytes_of(100, 1));
    EXPECT_EQ(file.load(100, 3 * 4096), bytes_of(3 * 4096, 0));
    EXPECT_EQ(file.load(100 + 3 * 4096, 4096), bytes_of(4096, 1));
    EXPECT_EQ(file.stored_bytes(), 3U * 4096);
}

TEST(MemoryFileTest, NextDataSkipsHoles) {
    MemoryFile file(std::uint64_t{1} << 40);
    file.store_u64(10 * 4096, 1);
    file.store_u64(11 * 4096, 1);
    const auto first = file.next_data(0);
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(first->begin, 10U * 4096);
    EXPECT_EQ(first->end, 12U * 4096);
    EXPECT_EQ(file.next_data(first->end)->begin, file.bytes());
    EXPECT_EQ(file.next_data(10 * 4096 + 5)->begin, 10U * 4096 + 5);
}

TEST(MemoryFileTest, NthRequestFailsOnceOrFromThenOn) {
    MemoryFile file(100);
    file.fault = {.nth = 2};
    EXPECT_TRUE(file.flush().run_blocking().has_value());
    EXPECT_EQ(file.flush().run_blocking().error().sys_errno(), EIO);
    EXPECT_TRUE(file.flush().run_blocking().has_value());
    file.requests = 0;
    file.fault = {.nth = 2, .error = ENOSPC, .sticky = true};
    EXPECT_TRUE(file.flush().run_blocking().has_value());
    EXPECT_FALSE(file.flush().run_blocking().has_value());
    EXPECT_EQ(file.flush().run_blocking().error().code(), Errc::no_space);
}

TEST(MemoryFileTest, FailingWriteLeavesNothingOrItsFirstHalf) {
    MemoryFile file(2048);
    const auto data = bytes_of(2048, 9);
    file.fault = {.nth = 1};
    EXPECT_FALSE(file.write({0}, data).run_blocking().has_value());
    EXPECT_EQ(file.load(0, 2048), bytes_of(2048, 0));
    file.requests = 0;
    file.fault = {.nth = 1, .tears = true};
    EXPECT_FALSE(file.write({0}, data).run_blocking().has_value());
    EXPECT_EQ(file.load(0, 1024), bytes_of(1024, 9));
    EXPECT_EQ(file.load(1024, 1024), bytes_of(1024, 0));
}

TEST(MemoryFileTest, HistoryReplayedOnACopyGivesTheSameFile) {
    MemoryFile file(5000);
    file.fill(0, 5000, std::byte{3});
    const MemoryFile before(file);
    std::vector<FileChange> history;
    file.history = &history;
    const auto data = bytes_of(3000, 5);
    ASSERT_TRUE(file.write({4500}, data).run_blocking().has_value());
    ASSERT_TRUE(file.punch({100}, 5000).run_blocking().has_value());
    ASSERT_TRUE(file.truncate(6000).run_blocking().has_value());
    ASSERT_TRUE(file.flush().run_blocking().has_value());
    MemoryFile replayed(before);
    for (const FileChange& change : history)
        replayed.apply(change);
    EXPECT_EQ(history.size(), 4U);
    EXPECT_TRUE(replayed == file);
    EXPECT_FALSE(replayed == before);
}

}  // namespace
}  // namespace qed::test
