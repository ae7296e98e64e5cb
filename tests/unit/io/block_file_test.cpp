// SPDX-License-Identifier: Apache-2.0
#include "qed/block_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/posix/descriptor_access.hpp"
#include "qed/files.hpp"
#include "support/io_ways.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::pattern;
using test::read_all;
using test::Way;
using ::testing::HasSubstr;

/// Every behaviour that BlockFile promises, in each way to run, with and without the page cache.
class BlockFileTest : public ::testing::TestWithParam<std::tuple<Way, bool>> {
protected:
    BlockFileTest() : runner(std::get<0>(GetParam())) {
        options.writable = true;
        options.create = true;
        options.direct = std::get<1>(GetParam());
        file = test::open_or_throw(dir.file("disk"), options);
    }

    /// Asks the system, not the code under test.
    bool file_system_takes(int fallocate_mode) const {
        const int probe = ::open(dir.file("probe").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        const bool taken =
            ::ftruncate(probe, 65'536) == 0 && ::fallocate(probe, fallocate_mode, 0, 65'536) == 0;
        ::close(probe);
        return taken;
    }

    test::TempDir dir;
    FileOptions options;
    test::Runner runner;
    std::unique_ptr<BlockFile> file;
};

TEST_P(BlockFileTest, ReadsWhatWasWrittenAtAnyOffset) {
    const auto bytes = pattern(100'000, 1);
    ASSERT_TRUE(runner.run(file->write(FileOffset{12'345}, bytes)));
    std::vector<std::byte> read(bytes.size());
    ASSERT_TRUE(runner.run(file->read(FileOffset{12'345}, read)));
    EXPECT_EQ(read, bytes);
    EXPECT_EQ(file->size(), 112'345U);
}

TEST_P(BlockFileTest, BytesPastTheEndReadAsZero) {
    const auto bytes = pattern(1000, 2);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    std::vector<std::byte> read(8192, std::byte{0xff});
    ASSERT_TRUE(runner.run(file->read(FileOffset{500}, read)));
    EXPECT_TRUE(std::equal(read.begin(), read.begin() + 500, bytes.begin() + 500));
    EXPECT_TRUE(std::all_of(read.begin() + 500, read.end(),
                            [](std::byte value) { return value == std::byte{0}; }));
    std::ranges::fill(read, std::byte{0xff});
    ASSERT_TRUE(runner.run(file->read(FileOffset{std::uint64_t{1} << 40}, read)));
    EXPECT_EQ(read, std::vector<std::byte>(8192));
}

TEST_P(BlockFileTest, VectorsAreReadAndWrittenInOrder) {
    auto bytes = pattern(70'000, 3);
    std::vector<iovec> out;
    for (std::size_t at = 0; at < bytes.size(); at += 35)
        out.push_back({bytes.data() + at, 35});
    ASSERT_GT(out.size(), std::size_t{IOV_MAX});
    ASSERT_TRUE(runner.run(file->writev(FileOffset{7}, out)));

    std::vector<std::byte> read(bytes.size());
    std::vector<iovec> in = {{read.data(), 1},
                             {read.data() + 1, 0},
                             {read.data() + 1, 40'000},
                             {read.data() + 40'001, 29'999}};
    ASSERT_TRUE(runner.run(file->readv(FileOffset{7}, in)));
    EXPECT_EQ(read, bytes);
}

TEST_P(BlockFileTest, TruncateSetsTheLengthAndNewBytesAreZero) {
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, pattern(10'000, 4))));
    ASSERT_TRUE(runner.run(file->truncate(5001)));
    EXPECT_EQ(file->size(), 5001U);
    ASSERT_TRUE(runner.run(file->truncate(9000)));
    EXPECT_EQ(file->size(), 9000U);
    EXPECT_EQ(read_all(*file, 5001, 3999), std::vector<std::byte>(3999));
    EXPECT_EQ(read_all(*file, 5000, 1), (std::vector{pattern(10'000, 4)[5000]}));
}

TEST_P(BlockFileTest, PunchMakesAHoleOfZeroesAndKeepsTheLength) {
    if (!file_system_takes(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
        GTEST_SKIP() << "the file system of the tests makes no holes";
    }
    ASSERT_TRUE(file->can_punch());
    const auto bytes = pattern(1 << 20, 5);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    ASSERT_TRUE(runner.run(file->flush()));
    ASSERT_TRUE(runner.run(file->punch(FileOffset{65'536}, 131'072 + 5)));
    EXPECT_EQ(file->size(), bytes.size());
    EXPECT_EQ(read_all(*file, 65'536, 131'077), std::vector<std::byte>(131'077));
    EXPECT_EQ(read_all(*file, 65'535, 1)[0], bytes[65'535]);
    EXPECT_EQ(read_all(*file, 65'536 + 131'077, 1)[0], bytes[65'536 + 131'077]);
}

TEST_P(BlockFileTest, AllocateReservesZeroesAndKeepsWhatIsThere) {
    const auto bytes = pattern(3000, 6);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    if (!file_system_takes(0)) GTEST_SKIP() << "the file system of the tests reserves no space";
    const Result<void> reserved = runner.run(file->allocate(FileOffset{0}, 100'000));
    ASSERT_TRUE(reserved) << reserved.error().message();
    EXPECT_EQ(file->size(), 100'000U);
    EXPECT_EQ(read_all(*file, 0, 3000), bytes);
    EXPECT_EQ(read_all(*file, 3000, 97'000), std::vector<std::byte>(97'000));
}

TEST_P(BlockFileTest, EmptyRequestsSucceed) {
    EXPECT_TRUE(runner.run(file->read(FileOffset{77}, {})));
    EXPECT_TRUE(runner.run(file->write(FileOffset{77}, {})));
    EXPECT_TRUE(runner.run(file->punch(FileOffset{77}, 0)));
    EXPECT_TRUE(runner.run(file->allocate(FileOffset{77}, 0)));
    EXPECT_TRUE(runner.run(file->flush()));
    EXPECT_EQ(file->size(), 0U);
}

TEST_P(BlockFileTest, BytesThatAnotherProcessHasCutOffAreAnError) {
    const auto bytes = pattern(10'000, 7);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    options.create = false;
    file = test::open_or_throw(dir.file("disk"), options);
    ASSERT_EQ(::truncate(dir.file("disk").c_str(), 5000), 0);
    std::vector<std::byte> into(4096);
    for (const std::uint64_t at : {1000U, 4999U, 5000U, 9999U}) {
        const Result<void> done = runner.run(file->read(FileOffset{at}, into));
        ASSERT_FALSE(done) << at;
        EXPECT_EQ(done.error().sys_errno(), EIO);
        EXPECT_THAT(done.error().message(), HasSubstr("another process has truncated it"));
    }
    // Direct reads are of whole blocks, so these are not the last bytes before the cut.
    EXPECT_TRUE(runner.run(file->read(FileOffset{0}, into)));
    EXPECT_TRUE(runner.run(file->read(FileOffset{12'288}, into))) << "was never there";
    EXPECT_EQ(runner.run(file->truncate(20'000)).error().sys_errno(), EIO)
        << "zeroes would take the place of the data";
    EXPECT_EQ(file->size(), 5000U);
}

TEST_P(BlockFileTest, BytesThatWeHaveCutOffReadAsZeroes) {
    const auto bytes = pattern(10'000, 8);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    ASSERT_TRUE(runner.run(file->truncate(20'000)));
    ASSERT_TRUE(runner.run(file->truncate(5000)));
    EXPECT_EQ(read_all(*file, 5000, 6000), std::vector<std::byte>(6000));
    ASSERT_TRUE(runner.run(file->truncate(8000)));
    ASSERT_EQ(::truncate(dir.file("disk").c_str(), 6000), 0);
    std::vector<std::byte> into(4096);
    EXPECT_EQ(runner.run(file->read(FileOffset{5000}, into)).error().sys_errno(), EIO);
    ASSERT_TRUE(runner.run(file->truncate(6000))) << "makes the loss our own";
    EXPECT_TRUE(runner.run(file->read(FileOffset{5000}, into)));
}

TEST_P(BlockFileTest, ChangesToAFileOpenForReadingAreRefused) {
    options.writable = false;
    options.create = false;
    const auto reader = test::open_or_throw(dir.file("disk"), options);
    EXPECT_TRUE(reader->is_read_only());
    EXPECT_FALSE(reader->can_punch());
    const auto bytes = pattern(512, 7);
    for (const IoOp& op : {reader->write(FileOffset{0}, bytes), reader->truncate(10),
                           reader->punch(FileOffset{0}, 10), reader->allocate(FileOffset{0}, 10)}) {
        const Result<void> result = runner.run(op);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code(), Errc::read_only);
    }
    EXPECT_EQ(reader->size(), 0U);
}

TEST_P(BlockFileTest, OffsetsThatNoFileHasAreRefused) {
    std::vector<std::byte> bytes(4096);
    for (const std::uint64_t at : {UINT64_MAX, UINT64_MAX - 4096, std::uint64_t{1} << 63}) {
        EXPECT_EQ(runner.run(file->write(FileOffset{at}, bytes)).error().code(),
                  Errc::invalid_argument);
        EXPECT_EQ(runner.run(file->read(FileOffset{at}, bytes)).error().code(),
                  Errc::invalid_argument);
    }
}

TEST_P(BlockFileTest, ErrorsNameTheFileTheActionAndThePlace) {
    const rlimit small{1 << 20, 1 << 20};
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit limited{small.rlim_cur, before.rlim_max};
    auto* const handler = ::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
    const auto bytes = pattern(8192, 8);
    const Result<void> inside = runner.run(file->write(FileOffset{(1 << 20) - 8192}, bytes));
    const Result<void> across = runner.run(file->write(FileOffset{(1 << 20) - 4096}, bytes));
    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, handler);

    EXPECT_TRUE(inside);
    ASSERT_FALSE(across);
    EXPECT_EQ(across.error().code(), Errc::no_space);
    EXPECT_THAT(across.error().message(), HasSubstr(dir.file("disk")));
    EXPECT_THAT(across.error().message(), HasSubstr("write 8192 bytes at 0xff000"));
    EXPECT_THAT(across.error().message(), HasSubstr("File too large"));
}

TEST_P(BlockFileTest, KnowsWhereDataIs) {
    ASSERT_TRUE(runner.run(file->truncate(16 << 20)));
    ASSERT_TRUE(runner.run(file->write(FileOffset{4 << 20}, pattern(1 << 20, 9))));
    ASSERT_TRUE(runner.run(file->flush()));
    const auto first = file->next_data(0);
    ASSERT_TRUE(first);
    if (::lseek(DescriptorAccess::of(*file), 0, SEEK_DATA) == 0) {
        GTEST_SKIP() << "the file system of the tests has no holes";
    }
    EXPECT_EQ(first->begin, std::uint64_t{4 << 20});
    EXPECT_EQ(first->end, std::uint64_t{5 << 20});
    const auto inside = file->next_data((4 << 20) + 4096);
    EXPECT_EQ(inside->begin, std::uint64_t{(4 << 20) + 4096});
    EXPECT_EQ(inside->end, std::uint64_t{5 << 20});
    for (const std::uint64_t at : {std::uint64_t{5 << 20}, std::uint64_t{64 << 20}, UINT64_MAX}) {
        const auto none = file->next_data(at);
        ASSERT_TRUE(none);
        EXPECT_EQ(none->begin, std::uint64_t{16 << 20}) << at;
        EXPECT_EQ(none->end, std::uint64_t{16 << 20});
    }
}

Task<Result<void>> batch_of_reads(BlockFile& file, std::span<IoOp> ops) {
    (void)file;
    IoBatch batch{ops.data(), ops.size()};
    Result<void> done = co_await batch;
    co_return done;
}

TEST_P(BlockFileTest, ABatchEndsWithItsLastRequest) {
    const auto bytes = pattern(64 * 4096, 10);
    ASSERT_TRUE(runner.run(file->write(FileOffset{0}, bytes)));
    std::vector<std::byte> read(bytes.size());
    std::vector<IoOp> ops;
    for (std::size_t i = 0; i < 64; ++i) {
        ops.push_back(file->read(FileOffset{i * 4096}, std::span(read).subspan(i * 4096, 4096)));
    }
    ASSERT_TRUE(runner.run_task(batch_of_reads(*file, ops)));
    EXPECT_EQ(read, bytes);
}

TEST_P(BlockFileTest, ABatchReportsItsFirstFailure) {
    std::vector<std::byte> memory(4096);
    std::array<IoOp, 3> ops{file->read(FileOffset{0}, memory),
                            file->write(FileOffset{~0ULL}, memory), file->flush()};
    const Result<void> result = runner.run_task(batch_of_reads(*file, ops));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Errc::invalid_argument);
    EXPECT_TRUE(ops[0].outcome());
    EXPECT_FALSE(ops[1].outcome());
    EXPECT_TRUE(ops[2].outcome());
}

TEST_P(BlockFileTest, AnEmptyBatchSucceeds) {
    EXPECT_TRUE(runner.run_task(batch_of_reads(*file, {})));
}

INSTANTIATE_TEST_SUITE_P(Ways, BlockFileTest,
                         ::testing::Combine(::testing::Values(Way::on_caller, Way::in_sync_wait,
                                                              Way::in_uring),
                                            ::testing::Bool()),
                         [](const auto& test) {
                             return ::testing::PrintToString(std::get<0>(test.param)) +
                                    (std::get<1>(test.param) ? "_direct" : "_buffered");
                         });

}  // namespace
}  // namespace qed
