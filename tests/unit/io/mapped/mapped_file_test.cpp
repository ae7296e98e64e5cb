// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "support/io_ways.hpp"
#include "support/loop_device.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

constexpr std::size_t kFileBytes = (std::size_t{1} << 20) + 1000;  // ends within a page

FileOptions mapped() {
    FileOptions options;
    options.mapped = true;
    return options;
}

using Bytes = std::vector<std::byte>;

Bytes part(const Bytes& of, std::size_t at, std::size_t bytes) {
    const auto begin = of.begin() + static_cast<std::ptrdiff_t>(at);
    return {begin, begin + static_cast<std::ptrdiff_t>(bytes)};
}

class MappedFileTest : public ::testing::TestWithParam<test::Way> {
protected:
    MappedFileTest() : path(dir.file("f")), content(test::pattern(kFileBytes, 1)) {
        FileOptions options;
        options.writable = true;
        options.create = true;
        writer = test::open_or_throw(path, options);
        if (!writer->write(FileOffset{0}, content).run_blocking()) std::abort();
        file = test::open_or_throw(path, mapped());
    }
    Bytes read(std::uint64_t at, std::size_t bytes) {
        Bytes into(bytes, std::byte{0xee});
        const Result<void> done = runner.run(file->read(FileOffset{at}, into));
        EXPECT_TRUE(done) << done.error().message();
        return into;
    }
    /// The error of a read that has to fail.
    int read_errno(std::uint64_t at, std::size_t bytes) {
        Bytes into(bytes);
        const Result<void> done = runner.run(file->read(FileOffset{at}, into));
        return done ? 0 : done.error().sys_errno();
    }

    test::TempDir dir;
    std::string path;
    Bytes content;
    test::Runner runner{GetParam()};
    std::unique_ptr<BlockFile> writer;
    std::unique_ptr<BlockFile> file;
};

TEST_P(MappedFileTest, ReadsWhatTheFileHoldsAtAnyOffset) {
    EXPECT_EQ(file->mapped_bytes(), kFileBytes);
    for (const auto& [at, bytes] : {std::pair{0U, 1U}, {4095U, 2U}, {777U, 100'000U}, {5U, 0U}}) {
        EXPECT_EQ(read(at, bytes), part(content, at, bytes)) << bytes << " bytes at " << at;
    }
    EXPECT_EQ(read(0, kFileBytes), content);
}

TEST_P(MappedFileTest, ReadsZeroPastTheEnd) {
    Bytes expected = part(content, kFileBytes - 10, 10);
    expected.resize(9000);
    EXPECT_EQ(read(kFileBytes - 10, 9000), expected);
    EXPECT_EQ(read(kFileBytes, 10), Bytes(10));
    EXPECT_EQ(read(std::uint64_t{1} << 40, 10), Bytes(10));
}

TEST_P(MappedFileTest, FillsSeveralBuffersInOrder) {
    Bytes into(10'000);
    std::vector<iovec> buffers = {{into.data(), 1},
                                  {into.data() + 1, 0},
                                  {into.data() + 1, 9'000},
                                  {into.data() + 9'001, 999}};
    ASSERT_TRUE(runner.run(file->readv(FileOffset{123}, buffers)));
    EXPECT_EQ(into, part(content, 123, 10'000));
}

TEST_P(MappedFileTest, WriteToFileAndPastItsOldEndIsVisible) {
    const Bytes more = test::pattern(5000, 2);
    ASSERT_TRUE(writer->write(FileOffset{kFileBytes - 1000}, more).run_blocking());
    EXPECT_EQ(read(kFileBytes - 1000, more.size()), more);
}

TEST_P(MappedFileTest, RefusesToWrite) {
    const Bytes bytes(10);
    EXPECT_EQ(runner.run(file->write(FileOffset{0}, bytes)).error().sys_errno(), EROFS);
}

TEST_P(MappedFileTest, BytesThatAnotherProcessHasCutOffAreAnError) {
    const std::size_t half = kFileBytes / 2;
    ASSERT_TRUE(writer->truncate(half).run_blocking());
    EXPECT_EQ(read_errno(0, kFileBytes), EIO);
    EXPECT_EQ(read_errno(kFileBytes - 1, 10), EIO);
    EXPECT_EQ(read(kFileBytes, 10), Bytes(10)) << "was never there";
    EXPECT_EQ(read(100, 5000), part(content, 100, 5000));
    ASSERT_TRUE(writer->write(FileOffset{0}, content).run_blocking());
    EXPECT_EQ(read(0, kFileBytes), content) << "what was written again is seen";
}

INSTANTIATE_TEST_SUITE_P(Ways, MappedFileTest,
                         ::testing::Values(test::Way::on_caller, test::Way::in_sync_wait,
                                           test::Way::in_uring),
                         ::testing::PrintToStringParamName());

class MappedFileCutTest : public MappedFileTest {};
INSTANTIATE_TEST_SUITE_P(Ways, MappedFileCutTest, ::testing::Values(test::Way::on_caller));

TEST_P(MappedFileCutTest, TheMappingIsGivenUpOnceItHasFailed) {
    ASSERT_TRUE(writer->truncate(0).run_blocking());
    EXPECT_EQ(file->mapped_bytes(), kFileBytes);
    EXPECT_EQ(read_errno(0, 1), EIO);
    EXPECT_EQ(file->mapped_bytes(), 0U);
}

TEST_P(MappedFileCutTest, ReadersInOtherThreadsReadWhatTheFileHeldOrFail) {
    constexpr std::size_t kBlock = 4096;
    constexpr std::size_t kKept = 64 * kBlock;
    std::atomic<bool> is_over = false;
    std::atomic<int> wrong = 0;
    std::atomic<int> rounds = 0;
    const auto check = [&] {
        Bytes into(kBlock);
        while (!is_over.load() || file->mapped_bytes() != 0) {
            for (std::size_t at = 0; at + kBlock <= kFileBytes; at += kBlock) {
                if (file->read(FileOffset{at}, into).run_blocking()) {
                    if (into != part(content, at, kBlock)) ++wrong;
                } else if (at < kKept) {
                    ++wrong;
                }
            }
            ++rounds;
        }
    };
    {
        const std::jthread first(check);
        const std::jthread second(check);
        while (rounds.load() < 4)
            std::this_thread::yield();
        EXPECT_TRUE(writer->truncate(kKept).run_blocking());
        is_over = true;
    }
    EXPECT_EQ(wrong.load(), 0);
    EXPECT_EQ(read(0, kKept), part(content, 0, kKept));
    EXPECT_EQ(read_errno(kKept, 1), EIO);
}

TEST_P(MappedFileCutTest, OneCutFileLeavesTheMappingsOfOthersAlone) {
    FileOptions options;
    options.writable = true;
    options.create = true;
    const auto other_writer = test::open_or_throw(dir.file("other"), options);
    ASSERT_TRUE(other_writer->write(FileOffset{0}, content).run_blocking());
    const auto other = test::open_or_throw(dir.file("other"), mapped());
    ASSERT_TRUE(writer->truncate(0).run_blocking());
    EXPECT_EQ(read_errno(0, kFileBytes), EIO);
    EXPECT_EQ(test::read_all(*other, 0, kFileBytes), content);
    EXPECT_EQ(other->mapped_bytes(), kFileBytes);
}

TEST_P(MappedFileCutTest, AThreadThatBlocksTheSignalReadsWithoutTheMapping) {
    ASSERT_TRUE(writer->truncate(4096).run_blocking());
    std::jthread([&] {
        sigset_t every{};
        sigfillset(&every);
        pthread_sigmask(SIG_BLOCK, &every, nullptr);
        EXPECT_EQ(read(0, 4096), part(content, 0, 4096));
        EXPECT_EQ(read_errno(4096, 1), EIO);
    }).join();
    EXPECT_EQ(file->mapped_bytes(), kFileBytes) << "for other threads it is as good as before";
}

TEST(MappedFileOptionsTest, FilesThatAreWrittenOrDirectAreNotMapped) {
    const test::TempDir dir;
    FileOptions options;
    options.writable = true;
    options.create = true;
    options.mapped = true;
    const auto writer = test::open_or_throw(dir.file("f"), options);
    EXPECT_EQ(writer->mapped_bytes(), 0U);
    ASSERT_TRUE(writer->write(FileOffset{0}, test::pattern(8192, 1)).run_blocking());
    EXPECT_EQ(test::read_all(*writer, 0, 8192), test::pattern(8192, 1));
    options = mapped();
    options.direct = true;
    const auto direct = open_file(dir.file("f"), options);
    if (!direct) {
        ASSERT_EQ(direct.error().code(), Errc::unsupported);
        GTEST_SKIP() << direct.error().message();
    }
    EXPECT_EQ((*direct)->mapped_bytes(), 0U);
    EXPECT_EQ(test::read_all(**direct, 0, 8192), test::pattern(8192, 1));
}

TEST(MappedFileOptionsTest, AnEmptyFileReadsAsZeroes) {
    const int descriptor = ::memfd_create("empty", MFD_CLOEXEC);
    ASSERT_GE(descriptor, 0);
    const auto file = adopt_descriptor(descriptor, "empty", mapped());
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->mapped_bytes(), 0U);
    EXPECT_EQ(test::read_all(**file, 0, 10), Bytes(10));
}

TEST(MappedFileOptionsTest, AFileLargerThanTheAddressSpaceIsReadWithoutAMapping) {
    const int descriptor = ::memfd_create("huge", MFD_CLOEXEC);
    ASSERT_GE(descriptor, 0);
    constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;
    ASSERT_EQ(::ftruncate(descriptor, kHuge), 0);
    const Bytes bytes = test::pattern(1000, 3);
    ASSERT_EQ(::pwrite(descriptor, bytes.data(), bytes.size(), kHuge - 1000), 1000);
    const auto file = adopt_descriptor(descriptor, "huge", mapped());
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->mapped_bytes(), 0U);
    EXPECT_EQ(test::read_all(**file, kHuge - 1000, 1000), bytes);
}

TEST(MappedFileOptionsTest, ADiskThatFailsIsAnErrorNotASignal) {
    constexpr std::uint64_t kDeviceBytes = std::uint64_t{4} << 20;
    const test::LoopDevice device(kDeviceBytes, 4096);
    if (!device.refusal().empty()) GTEST_SKIP() << device.refusal();
    const auto file = test::open_or_throw(device.path(), mapped());
    ASSERT_EQ(file->mapped_bytes(), kDeviceBytes);
    EXPECT_EQ(test::read_all(*file, 0, 4096), Bytes(4096));
    device.lose_storage();
    Bytes into(4096);
    const Result<void> done = file->read(FileOffset{kDeviceBytes / 2}, into).run_blocking();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::io_error);
    EXPECT_EQ(file->mapped_bytes(), 0U);
}

}  // namespace
}  // namespace qed
