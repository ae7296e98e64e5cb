// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/output_file.hpp"
#include "support/io_ways.hpp"
#include "support/loop_device.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kDeviceBytes = std::uint64_t{16} << 20;

class BlockDeviceTest : public ::testing::TestWithParam<std::tuple<test::Way, bool>> {
protected:
    BlockDeviceTest() : device(kDeviceBytes, 4096), runner(std::get<0>(GetParam())) {}
    void SetUp() override {
        if (!device.refusal().empty()) GTEST_SKIP() << device.refusal();
        FileOptions options;
        options.writable = true;
        options.direct = std::get<1>(GetParam());
        file = test::open_or_throw(device.path(), options);
    }

    test::LoopDevice device;
    test::Runner runner;
    std::unique_ptr<BlockFile> file;
};

TEST_P(BlockDeviceTest, HasItsSizeAndKeepsIt) {
    EXPECT_EQ(file->size(), kDeviceBytes);
    EXPECT_TRUE(runner.run(file->truncate(0)));
    EXPECT_TRUE(runner.run(file->truncate(kDeviceBytes)));
    EXPECT_EQ(runner.run(file->truncate(kDeviceBytes + 1)).error().code(), Errc::no_space);
    EXPECT_EQ(file->size(), kDeviceBytes);
}

TEST_P(BlockDeviceTest, ReadsWhatWasWrittenAtAnyOffset) {
    const auto bytes = test::pattern(100'003, 1);
    ASSERT_TRUE(runner.run(file->write(FileOffset{4095}, bytes)));
    std::vector<std::byte> read(bytes.size());
    ASSERT_TRUE(runner.run(file->read(FileOffset{4095}, read)));
    EXPECT_EQ(read, bytes);
    ASSERT_TRUE(runner.run(file->flush()));
}

TEST_P(BlockDeviceTest, ReadsZeroPastTheEndAndWritesNothingThere) {
    std::vector<std::byte> bytes(8192, std::byte{1});
    ASSERT_TRUE(runner.run(file->read(FileOffset{kDeviceBytes - 4096}, bytes)));
    EXPECT_EQ(bytes, std::vector<std::byte>(8192));
    EXPECT_EQ(runner.run(file->write(FileOffset{kDeviceBytes}, bytes)).error().code(),
              Errc::no_space);
}

TEST_P(BlockDeviceTest, SpaceIsThereAlready) {
    EXPECT_TRUE(runner.run(file->allocate(FileOffset{0}, kDeviceBytes)));
    EXPECT_EQ(runner.run(file->allocate(FileOffset{0}, kDeviceBytes + 512)).error().code(),
              Errc::no_space);
}

TEST_P(BlockDeviceTest, PunchZeroesWholeBlocksAndRefusesParts) {
    const auto bytes = test::pattern(64 << 10, 2);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    EXPECT_EQ(runner.run(file->punch(FileOffset{512}, 4096)).error().code(), Errc::unsupported);
    ASSERT_TRUE(file->can_punch());
    const Result<void> punched = runner.run(file->punch(FileOffset{4096}, 8192));
    if (!punched) {
        EXPECT_EQ(punched.error().code(), Errc::unsupported);
        EXPECT_FALSE(file->can_punch());
        return;
    }
    EXPECT_EQ(test::read_all(*file, 4096, 8192), std::vector<std::byte>(8192));
    EXPECT_EQ(test::read_all(*file, 0, 4096), std::vector(bytes.begin(), bytes.begin() + 4096));
}

TEST_P(BlockDeviceTest, DirectRequestsFollowItsBlocks) {
    EXPECT_EQ(file->alignment().offset, std::get<1>(GetParam()) ? 4096U : 1U);
}

TEST_P(BlockDeviceTest, LockedDeviceIsExclusiveAsAMountedOneIs) {
    // Mounting takes the device in the same way: as a holder that shares with no other.
    const int mounted = ::open(device.path().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC);
    ASSERT_GE(mounted, 0);
    FileOptions options;
    options.writable = true;
    options.lock = LockRole::writer;
    const auto refused = open_file(device.path(), options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::locked);
    EXPECT_THAT(refused.error().message(), ::testing::HasSubstr("mounted"));
    const auto output = OutputFile::create(device.path());
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code(), Errc::locked);
    options.lock = LockRole::none;
    EXPECT_TRUE(open_file(device.path(), options)) << "the user has asked for it";
    options.writable = false;
    options.lock = LockRole::reader;
    EXPECT_TRUE(open_file(device.path(), options)) << "reading does no harm";
    ::close(mounted);
    EXPECT_TRUE(OutputFile::create(device.path()));
}

INSTANTIATE_TEST_SUITE_P(Ways, BlockDeviceTest,
                         ::testing::Combine(::testing::Values(test::Way::on_caller,
                                                              test::Way::in_uring),
                                            ::testing::Bool()));

}  // namespace
}  // namespace qed
