// SPDX-License-Identifier: Apache-2.0
// Images and claimed sizes with which arithmetic, memory or time could go wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/endian.hpp"
#include "support/qed_builder.hpp"
#include "unit/formats/qed/check/check_support.hpp"

namespace qed {
namespace {

using test::check;
using test::QedBuilder;
using testing::HasSubstr;

constexpr std::uint64_t kTebibyte = std::uint64_t{1} << 40;

/// An image with every cluster of `tables` tables mapped, in the order of `place`. The data
/// clusters are holes.
template <class Place>
QedBuilder full_image(const Geometry& geometry, std::uint64_t tables, Place place) {
    QedBuilder image(geometry, tables * geometry.table_span_bytes());
    for (std::uint64_t i = 0; i < tables; ++i)
        image.add_table(i);
    const std::uint64_t first = image.clusters();
    const std::uint64_t count = tables * geometry.table_entries();
    std::vector<std::byte> raw(geometry.table_bytes());
    for (std::uint64_t i = 0; i < tables; ++i) {
        for (std::uint64_t j = 0; j < geometry.table_entries(); ++j) {
            const std::uint64_t cluster = first + place(i * geometry.table_entries() + j, count);
            store_le64(raw, j, image.offset(cluster));
        }
        image.file.store(image.l1(i), raw);
    }
    image.file.resize(image.offset(first + count));
    return image;
}

std::uint64_t in_order(std::uint64_t i, std::uint64_t) {
    return i;
}
std::uint64_t scattered(std::uint64_t i, std::uint64_t count) {
    return i * 1'000'003 % count;  // a prime that divides no count: visits every place
}

TEST(LargeImageTest, SoundImagesPastFourGibibytesHaveNoLeaks) {
    for (const auto place : {in_order, scattered}) {
        const Geometry geometry = test::geometry(65536, 4);
        QedBuilder image = full_image(geometry, 4, place);
        const CheckReport report = check(image.file);
        EXPECT_EQ(report.corruptions, 0U);
        EXPECT_EQ(report.leaks, 0U);
        EXPECT_EQ(report.allocated_clusters, 131'072U);
        EXPECT_EQ(report.image_end_offset, image.file.bytes());
        EXPECT_EQ(report.fragmented_clusters, place == in_order ? 0U : 4U * 32'767);
    }
}

TEST(LargeImageTest, SmallClustersPastTheirSquareHaveNoLeaks) {
    // Code that divides by cluster_size - 1 is wrong for 4095 or more clusters.
    QedBuilder image = full_image(test::geometry(4096, 1), 20, in_order);
    EXPECT_EQ(check(image.file).leaks, 0U);
    image.add_leak(3);
    EXPECT_EQ(check(image.file).leaks, 3U);
}

TEST(LargeImageTest, OneRepeatedClusterAmongManyIsFoundInRunsAndInScatteredTables) {
    for (const auto place : {in_order, scattered}) {
        QedBuilder image = full_image(test::geometry(65536, 4), 2, place);
        image.set_l2(1, 20'000, image.l2(0, 100));
        const CheckReport report = check(image.file);
        EXPECT_EQ(report.corruptions, 1U);
        EXPECT_EQ(report.free_clusters, 1U);  // all clusters are holes
        ASSERT_FALSE(report.findings.empty());
        EXPECT_EQ(report.findings[0].guest_offset, (std::uint64_t{2} << 30) + 20'000 * 65536);
    }
}

TEST(LargeImageTest, OneStrangeEntryAmongManyIsFound) {
    const QedBuilder sound = full_image(test::geometry(65536, 4), 2, scattered);
    const std::uint64_t end = sound.file.bytes();
    for (const std::uint64_t strange :
         {std::uint64_t{2}, std::uint64_t{65536}, 4 * std::uint64_t{65536}, end, end - 65536 + 512,
          std::uint64_t{1} << 63, ~std::uint64_t{0} << 16, sound.l1(1)}) {
        for (const std::uint64_t index : {0U, 1U, 127U, 128U, 20'000U, 32'767U}) {
            QedBuilder image = sound;
            image.set_l2(1, index, strange);
            const CheckReport report = check(image.file);
            EXPECT_EQ(report.corruptions, 1U) << std::hex << strange << " at " << index;
            EXPECT_EQ(report.free_clusters, 1U);  // all clusters are holes
        }
    }
    for (const std::uint64_t marker : {0U, 1U}) {
        QedBuilder image = sound;
        image.set_l2(1, 20'000, marker);
        const CheckReport report = check(image.file);
        EXPECT_EQ(report.corruptions, 0U);
        EXPECT_EQ(report.zero_clusters, marker);
        EXPECT_EQ(report.allocated_clusters, 65'535U);
    }
}

TEST(LargeImageTest, PartsOfATableCountFragmentsLikeTheWhole) {
    // Tables of 1 MiB are read in several pieces, and holes split them further.
    QedBuilder image(test::geometry(65536, 16), kTebibyte);
    image.add_table(0);
    std::uint64_t expected = 0;
    std::uint64_t before = 0;
    for (std::uint64_t j = 0; j < 131'072; j += 4'999) {
        const std::uint64_t position = image.add_data(0, j);
        if (before != 0 && before + 1 != position) ++expected;
        before = position;
        if (j % 3 == 0) image.add_leak();
    }
    ASSERT_GT(expected, 0U);
    EXPECT_EQ(check(image.file).fragmented_clusters, expected);
}

TEST(LargeImageTest, Claimed64TebibytesInOneMebibyteCostOnlyStoredTables) {
    QedBuilder image(test::geometry(65536, 4), 64 * kTebibyte);
    std::vector<std::byte> l1(image.geometry().table_bytes());
    for (std::size_t i = 0; i < image.geometry().table_entries(); ++i)
        store_le64(l1, i, (i + 1) << 40);
    image.file.store(65536, l1);
    image.file.resize(1 << 20);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.total_clusters, std::uint64_t{1} << 30);
    EXPECT_EQ(report.corruptions, image.geometry().table_entries());
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_EQ(report.free_clusters, 11U);
    EXPECT_EQ(report.findings.size() + report.findings_omitted, 32'768U);
}

TEST(LargeImageTest, HolesInTablesAreNotRead) {
    // Every table of a 64 TiB image exists, 8 GiB of them; only two have an entry.
    QedBuilder image(test::geometry(65536, 4), 64 * kTebibyte);
    for (std::uint64_t i = 0; i < 32'768; ++i)
        image.add_table(i);
    image.add_data(0, 0);
    image.add_data(32'767, 32'767);
    image.file.bytes_read = 0;
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.allocated_clusters, 2U);
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_LT(image.file.bytes_read, 1U << 20);
}

TEST(LargeImageTest, ClustersScatteredOverAHugeFileMayNotTakeAllMemory) {
    QedBuilder image(test::geometry(65536, 4), kTebibyte);
    image.add_table(0);
    std::vector<std::byte> table(image.geometry().table_bytes());
    for (std::size_t i = 0; i < image.geometry().table_entries(); ++i)
        store_le64(table, i, (i + 1) << 31);  // each bit in a page of its own
    image.file.store(image.l1(0), table);
    image.file.resize(std::uint64_t{1} << 47);
    CheckOptions options;
    options.memory_limit = 16 << 20;
    const auto refused = sync_wait(check_file(image.file, options));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Errc::unsupported);
    EXPECT_THAT(refused.error().message(), HasSubstr("more than the permitted 16 MiB of memory"));
    options.memory_limit = 256 << 20;
    const auto report = sync_wait(check_file(image.file, options));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->allocated_clusters, 32'768U);
}

TEST(LargeImageTest, FileLongerThanAnyImageIsRefused) {
    QedBuilder image = QedBuilder::small();
    image.file.resize((std::uint64_t{1} << 62));
    const auto report = test::try_check(image.file);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::unsupported);
}

TEST(LargeImageTest, SeveralThreadsFindWhatOneFinds) {
    QedBuilder image = full_image(test::geometry(65536, 4), 96, scattered);
    image.set_l2(3, 100, image.l2(90, 7));  // far apart: likely seen by different threads
    image.set_l2(3, 101, image.l2(3, 102));
    image.set_l2(50, 0, image.l1(51));
    image.set_l2(51, 5, 0x123);
    image.set_l2(52, 6, image.file.bytes());
    image.set_l2(53, 1, 1);
    for (std::uint64_t i = 0; i < 32'768; ++i)
        image.set_l2(60, i, 0);
    image.file.unreadable = {image.l1(70), image.l1(70) + 1};
    CheckOptions options;
    const auto alone = sync_wait(check_file(image.file, options));
    options.threads = 4;
    const auto together = sync_wait(check_file(image.file, options));
    ASSERT_TRUE(alone.has_value() && together.has_value());
    EXPECT_EQ(alone->corruptions, 5U);
    EXPECT_EQ(together->corruptions, 5U);
    EXPECT_EQ(together->allocated_clusters, alone->allocated_clusters);
    EXPECT_EQ(together->zero_clusters, 1U);
    EXPECT_EQ(together->fragmented_clusters, alone->fragmented_clusters);
    EXPECT_EQ(together->image_end_offset, alone->image_end_offset);
    EXPECT_EQ(together->check_errors, 1U);
    ASSERT_EQ(together->findings.size(), alone->findings.size());
    for (std::size_t i = 0; i < alone->findings.size(); ++i)
        EXPECT_EQ(together->findings[i].message, alone->findings[i].message);

    image.file.unreadable.reset();
    EXPECT_EQ(sync_wait(check_file(image.file, options))->leaks, check(image.file).leaks);
}

TEST(LargeImageTest, FailureOfOneThreadStopsAll) {
    QedBuilder image = full_image(test::geometry(65536, 4), 96, in_order);
    CheckOptions options;
    options.threads = 4;
    options.memory_limit = 4096;  // one page of clusters
    const auto report = sync_wait(check_file(image.file, options));
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::unsupported);
    EXPECT_LT(image.file.bytes_read, 12U << 20);
}

TEST(LargeImageTest, ReclaimingOneClusterOfALargeImageMovesOneCluster) {
    QedBuilder image = full_image(test::geometry(65536, 4), 2, scattered);
    const std::uint64_t given_back = image.l2(0, 500);
    image.set_l2(0, 500, 0);
    image.file.fill(given_back, 100, std::byte{1});
    const std::uint64_t last = image.offset(image.clusters() - 1);
    std::vector<test::FileChange> history;
    image.file.history = &history;
    const CheckReport report = check(image.file, Repair::leaks);
    EXPECT_EQ(report.leaks_fixed, 1U);
    EXPECT_EQ(image.file.bytes(), last);
    EXPECT_EQ(check(image.file).leaks, 0U);
    std::uint64_t written = 0;
    for (const auto& change : history) {
        if (change.kind == IoKind::write) written += change.length;
    }
    EXPECT_LE(written, 65536U + 4096);
    // The last cluster of the file is now where the leak was.
    const auto tables = image.file.load(image.l1(0), 2 * image.geometry().table_bytes());
    bool is_named = false;
    for (std::size_t i = 0; i < 2 * image.geometry().table_entries(); ++i) {
        is_named |= load_le64(tables, i) == given_back;
        EXPECT_NE(load_le64(tables, i), last);
    }
    EXPECT_TRUE(is_named);
}

TEST(LargeImageTest, ManyTablesAfterASmallLeakMoveTogether) {
    const Geometry geometry = *Geometry::make(4096, 2);
    constexpr std::uint64_t kTables = 1000;
    QedBuilder image(geometry, kTables * geometry.table_span_bytes());
    image.add_leak();  // half a table: no table after it fits
    for (std::uint64_t i = 0; i < kTables; ++i) {
        image.add_table(i);
        image.set_l2(i, i, 1);
    }
    const std::uint64_t end = image.clusters();

    const CheckReport report = check(image.file, Repair::leaks);

    EXPECT_EQ(report.leaks_fixed, 1U);
    EXPECT_EQ(image.clusters(), end - 1);
    const CheckReport again = check(image.file);
    EXPECT_EQ(again.corruptions + again.leaks, 0U);
    EXPECT_EQ(again.zero_clusters, kTables);
    for (std::uint64_t i = 0; i < kTables; ++i)
        ASSERT_EQ(image.l2(i, i), 1U) << "table " << i;
}

}  // namespace
}  // namespace qed
