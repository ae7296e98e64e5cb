// SPDX-License-Identifier: Apache-2.0
// How far a guest that never flushes can make the image file grow.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::uint64_t kWrite = 256U << 10;

class FreedSpaceTest : public testing::TestWithParam<WriteOrder> {
protected:
    static std::unique_ptr<Image> open(std::unique_ptr<MemoryFile> file) {
        OpenOptions options;
        options.writable = true;
        options.order = GetParam();
        return std::move(sync_wait(Image::open_file(std::move(file), nullptr, options)).value());
    }
};

// 320 MiB are written and discarded; 64 MiB of freed clusters may wait for a flush.
TEST_P(FreedSpaceTest, WithoutFlushesTheFileStaysBounded) {
    auto owned = test::make_layer(kMiB, false);
    MemoryFile& file = *owned;
    const auto image = open(std::move(owned));
    const std::vector<std::byte> data(kWrite, std::byte{7});
    std::uint64_t longest = 0;
    for (int round = 0; round < 1280; ++round) {
        ASSERT_TRUE(image->write_blocking({0}, data));
        ASSERT_TRUE(image->discard_blocking({0}, kWrite));
        longest = std::max(longest, file.bytes());
    }
    EXPECT_LE(longest, (1 + 64 + 16) * kMiB);
    EXPECT_GT(image->stats().reused_clusters, 0U);
}

TEST_P(FreedSpaceTest, OnAFullDiskAWriteFlushesAndUsesFreedClusters) {
    auto owned = test::make_layer(kMiB, false);
    MemoryFile& file = *owned;
    const auto image = open(std::move(owned));
    const std::vector<std::byte> data(kWrite, std::byte{7});
    ASSERT_TRUE(image->write_blocking({0}, data));
    ASSERT_TRUE(image->flush_blocking());
    ASSERT_TRUE(image->discard_blocking({0}, kWrite));
    file.fault =
        MemoryFile::Fault{.nth = 1, .error = ENOSPC, .sticky = true, .only = IoKind::truncate};
    file.requests = 0;
    const std::vector<std::byte> other(kWrite, std::byte{8});
    const auto written = image->write_blocking({2 * kWrite}, other);
    ASSERT_TRUE(written) << written.error().message();
    EXPECT_EQ(image->stats().reused_clusters, kWrite / 4096);
    std::vector<std::byte> read(kWrite);
    ASSERT_TRUE(image->read_blocking({2 * kWrite}, read));
    EXPECT_EQ(read, other);
    ASSERT_TRUE(image->read_blocking({0}, read));
    EXPECT_EQ(read, std::vector<std::byte>(kWrite));
    // The file cannot grow, and nothing is free.
    EXPECT_EQ(image->write_blocking({kWrite}, other).error().code(), Errc::no_space);
    file.fault.reset();
    EXPECT_TRUE(image->write_blocking({kWrite}, other));
    EXPECT_TRUE(image->close());
}

// Each write needs a table of its own.
TEST_P(FreedSpaceTest, OnAFullFileSystemTrimsMakeRoomAndWhatWasWrittenIsFlushed) {
    constexpr std::uint64_t kTableSpan = 2048 * 4096;
    auto owned = test::make_layer(64 * kTableSpan, false);
    MemoryFile& file = *owned;
    file.can_reserve = true;
    file.space_left = 10 * kWrite;
    const auto image = open(std::move(owned));
    const std::vector<std::byte> data(kWrite, std::byte{7});
    std::uint64_t tables = 0;
    Result<void> written;
    while ((written = image->write_blocking({tables * kTableSpan}, data)))
        ++tables;
    EXPECT_EQ(written.error().code(), Errc::no_space);
    EXPECT_EQ(tables, 9U);
    auto flushed = image->flush_blocking();
    ASSERT_TRUE(flushed) << flushed.error().message();

    for (std::uint64_t i = 0; i < tables; i += 2) {
        const auto trimmed = image->discard_blocking({i * kTableSpan}, kWrite);
        ASSERT_TRUE(trimmed) << trimmed.error().message();
    }
    for (std::uint64_t i = tables; i < tables + 3; ++i) {
        written = image->write_blocking({i * kTableSpan}, data);
        ASSERT_TRUE(written) << written.error().message();
    }
    flushed = image->flush_blocking();
    ASSERT_TRUE(flushed) << flushed.error().message();
    for (std::uint64_t i = 0; i < tables + 3; ++i) {
        std::vector<std::byte> read(kWrite);
        ASSERT_TRUE(image->read_blocking({i * kTableSpan}, read));
        const bool is_trimmed = i < tables && i % 2 == 0;
        EXPECT_EQ(read, is_trimmed ? std::vector<std::byte>(kWrite) : data) << i;
    }
    EXPECT_TRUE(image->close());
}

TEST_P(FreedSpaceTest, CloseSucceedsWhereTheFileCannotBeCut) {
    auto owned = test::make_layer(kMiB, false);
    MemoryFile& file = *owned;
    const auto image = open(std::move(owned));
    const std::vector<std::byte> data(kWrite, std::byte{7});
    ASSERT_TRUE(image->write_blocking({0}, data));
    ASSERT_TRUE(image->discard_blocking({0}, kWrite));
    file.fault =
        MemoryFile::Fault{.nth = 1, .error = ENOSPC, .sticky = true, .only = IoKind::truncate};
    file.requests = 0;
    const auto closed = image->close();
    EXPECT_TRUE(closed) << closed.error().message();
}

INSTANTIATE_TEST_SUITE_P(Orders, FreedSpaceTest,
                         testing::Values(WriteOrder::ordered, WriteOrder::strict,
                                         WriteOrder::deferred));

}  // namespace
}  // namespace qed
