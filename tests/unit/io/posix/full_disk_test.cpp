// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support/io_ways.hpp"
#include "support/small_tmpfs.hpp"

namespace qed {
namespace {

class FullDiskTest : public ::testing::TestWithParam<test::Way> {};

TEST_P(FullDiskTest, WriteThatDoesNotFitIsNoSpaceAndTheFileStaysUsable) {
    const test::SmallTmpfs small(std::size_t{1} << 20);
    if (!small.refusal().empty()) GTEST_SKIP() << small.refusal();
    test::Runner runner(GetParam());
    FileOptions options;
    options.writable = true;
    options.create = true;
    const auto file = test::open_or_throw(small.file("f"), options);
    const auto first = test::pattern(600 << 10, 1);
    const auto second = test::pattern(600 << 10, 2);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, first)));

    const Result<void> full = runner.run(file->write(FileOffset{600 << 10}, second));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code(), Errc::no_space);
    EXPECT_EQ(full.error().sys_errno(), ENOSPC);
    EXPECT_EQ(test::read_all(*file, 0, first.size()), first);
    EXPECT_EQ(runner.run(file->allocate(FileOffset{0}, 4 << 20)).error().code(), Errc::no_space);

    ASSERT_TRUE(file->can_punch());
    ASSERT_TRUE(runner.run(file->punch(FileOffset{0}, 600 << 10)));
    ASSERT_TRUE(runner.run(file->write(FileOffset{600 << 10}, second)));
    EXPECT_EQ(test::read_all(*file, 600 << 10, second.size()), second);
}

INSTANTIATE_TEST_SUITE_P(Ways, FullDiskTest,
                         ::testing::Values(test::Way::on_caller, test::Way::in_sync_wait,
                                           test::Way::in_uring));

}  // namespace
}  // namespace qed
