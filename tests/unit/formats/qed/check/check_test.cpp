// SPDX-License-Identifier: Apache-2.0
// Findings of a check without repair.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/qed_builder.hpp"
#include "unit/formats/qed/check/check_support.hpp"

namespace qed {
namespace {

using test::check;
using test::MemoryFile;
using test::only_message;
using test::QedBuilder;
using test::try_check;
using testing::HasSubstr;
using Kind = Finding::Kind;

/// Two tables, five data clusters, a zero cluster.
QedBuilder sound_image() {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    image.add_data(0, 1);
    image.add_data(0, 7);
    image.add_table(3);
    image.add_data(3, 511);
    image.add_data(3, 0);
    image.set_l2(3, 5, 1);
    return image;
}

TEST(CheckTest, EmptyImageIsSound) {
    QedBuilder image = QedBuilder::small();
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 0U);
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_EQ(report.allocated_clusters, 0U);
    EXPECT_EQ(report.total_clusters, 16384U);
    EXPECT_EQ(report.image_end_offset, 8192U);
    EXPECT_TRUE(report.findings.empty());
}

TEST(CheckTest, SoundImageIsCountedAndNothingIsFound) {
    QedBuilder image = sound_image();
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 0U);
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_EQ(report.check_errors, 0U);
    EXPECT_EQ(report.allocated_clusters, 5U);
    EXPECT_EQ(report.zero_clusters, 1U);
    EXPECT_EQ(report.fragmented_clusters, 1U);
    EXPECT_EQ(report.image_end_offset, image.file.bytes());
    EXPECT_FALSE(report.was_dirty);
    EXPECT_TRUE(report.findings.empty());
}

TEST(CheckTest, EveryLegalGeometryIsCheckedAndRepaired) {
    for (const Geometry& geometry : test::every_geometry()) {
        QedBuilder image(geometry, geometry.cluster_bytes() * 3);
        image.add_table(0);
        image.add_data(0, 0);
        image.add_leak();
        image.add_data(0, 1);
        image.set_l2(0, 2, image.l2(0, 0));
        image.set_l2(0, geometry.table_entries() - 1, geometry.cluster_bytes() + 1);
        const CheckReport found = check(image.file);
        EXPECT_EQ(found.corruptions, 2U);
        EXPECT_EQ(found.leaks, 1U);
        EXPECT_EQ(found.total_clusters, 3U);

        const auto shared = image.file.load(image.l2(0, 0), 4096);
        const CheckReport repaired = check(image.file, Repair::all);
        EXPECT_EQ(repaired.corruptions_fixed, 2U);
        EXPECT_EQ(repaired.leaks_fixed, 1U);
        EXPECT_TRUE(check(image.file).findings.empty());
        EXPECT_NE(image.l2(0, 0), image.l2(0, 2));
        EXPECT_EQ(image.file.load(image.l2(0, 0), 4096), shared);
        EXPECT_EQ(image.file.load(image.l2(0, 2), 4096), shared);
        EXPECT_EQ(image.l2(0, geometry.table_entries() - 1), 0U);
    }
}

TEST(CheckTest, FragmentationIsCountedInsideTablesAndAcrossGaps) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_table(1);
    image.add_data(0, 0);
    image.add_data(0, 9);    // consecutive in the file, but not in the guest
    image.add_data(1, 0);    // the first cluster of a table is never fragmented
    image.add_data(0, 100);  // another cluster lies between
    image.add_data(0, 50);   // reversed: 100 no longer follows the cluster before it
    EXPECT_EQ(check(image.file).fragmented_clusters, 2U);
}

TEST(CheckTest, BadL2EntryIsFoundWithPlaceAndReason) {
    QedBuilder image = sound_image();
    image.set_l2(3, 6, 0x12345);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 1U);
    ASSERT_EQ(report.findings.size(), 1U);
    const Finding& finding = report.findings[0];
    EXPECT_EQ(finding.kind, Kind::bad_l2_entry);
    EXPECT_EQ(finding.guest_offset, (3ULL << 21) + 6 * 4096);
    EXPECT_EQ(finding.length, 4096U);
    EXPECT_FALSE(finding.repaired);
    EXPECT_THAT(finding.message, HasSubstr("entry 6 (guest offset 0x606000): found 0x12345"));
    EXPECT_THAT(finding.message, HasSubstr("not aligned"));
}

TEST(CheckTest, BadL1EntryIsFoundWithTheGuestRangeItMaps) {
    QedBuilder image = sound_image();
    image.set_l1(3, image.file.bytes() + 4096);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 1U);
    EXPECT_EQ(report.leaks, 3U);  // the table and its two clusters
    const std::string message = only_message(report, Kind::bad_l1_entry);
    EXPECT_THAT(message, HasSubstr("L1 table at 0x1000, entry 3"));
    EXPECT_THAT(message, HasSubstr("past the end of the file"));
    EXPECT_THAT(message, HasSubstr("maps 2097152 guest bytes starting at 0x600000"));
}

TEST(CheckTest, DuplicateNamesBothGuestOffsets) {
    QedBuilder image = sound_image();
    image.set_l2(3, 0, image.l2(0, 7));
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 1U);
    const std::string message = only_message(report, Kind::duplicate_cluster);
    EXPECT_THAT(message, HasSubstr("guest offset 0x600000"));
    EXPECT_THAT(message, HasSubstr("guest offset 0x7000 has too"));
    EXPECT_THAT(message, HasSubstr("unreliable"));
}

TEST(CheckTest, EntryThatNamesATableIsADuplicate) {
    QedBuilder image = sound_image();
    image.set_l2(0, 30, image.l1(3));
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 1U);
    EXPECT_THAT(only_message(report, Kind::duplicate_cluster), HasSubstr("belongs to an L2 table"));
}

TEST(CheckTest, EntriesThatNameHeaderOrL1TableAreBad) {
    QedBuilder image(test::geometry(4096, 2), 1 << 20);
    image.add_table(0);
    image.set_l2(0, 0, 4096);
    image.set_l2(0, 1, 8192);
    image.set_l1(1, 4096);
    EXPECT_EQ(check(image.file).corruptions, 3U);
}

TEST(CheckTest, LeakedClustersAreCountedWhereverTheyAre) {
    QedBuilder image = QedBuilder::small();
    image.add_leak(2);
    image.add_table(0);
    image.add_leak();
    image.add_data(0, 0);
    image.add_leak(3);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.leaks, 6U);
    EXPECT_EQ(report.image_end_offset, image.file.bytes() - 3 * 4096);
    EXPECT_THAT(only_message(report, Kind::leaked_clusters), HasSubstr("6 clusters, 24576 bytes"));
}

TEST(CheckTest, AnUnnamedHoleIsFreeSpace) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    image.add_leak(3);
    image.add_data(0, 1);
    const std::uint64_t leak = image.clusters() - 4;
    ASSERT_TRUE(
        image.file.punch(FileOffset{image.offset(leak)}, 2 * 4096).run_blocking().has_value());
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.leaks, 1U);
    EXPECT_EQ(report.free_clusters, 2U);
    EXPECT_THAT(only_message(report, Kind::leaked_clusters),
                HasSubstr("the next program that opens the image for writing reclaims them"));
}

TEST(CheckTest, AnImageThatLeaksNothingIsLeftAsItIsUnlessItIsToBeShortened) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.file.resize(image.file.bytes() + 2 * 4096);
    image.add_data(0, 0);
    const MemoryFile before(image.file);
    CheckOptions options;
    options.repair = Repair::leaks;
    EXPECT_EQ(sync_wait(check_file(image.file, options))->free_clusters, 2U);
    EXPECT_TRUE(image.file == before);
    options.shortens = true;
    const auto report = sync_wait(check_file(image.file, options));
    EXPECT_EQ(report->free_clusters, 0U);
    EXPECT_EQ(report->leaks_fixed, 2U);
    EXPECT_EQ(image.file.bytes(), before.bytes() - 2 * 4096);
}

TEST(CheckTest, BytesAfterTheLastWholeClusterAreNoLeak) {
    QedBuilder image = sound_image();
    image.file.resize(image.file.bytes() + 4095);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_TRUE(report.findings.empty());
}

TEST(CheckTest, ClusterCutShortByTheFileEndIsCorrupt) {
    QedBuilder image = sound_image();
    image.file.resize(image.file.bytes() - 1);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.corruptions, 1U);
    EXPECT_THAT(only_message(report, Kind::bad_l2_entry),
                HasSubstr("reaches past the end of the file"));
}

TEST(CheckTest, EntriesPastTheImageSizeCountAsWell) {
    QedBuilder image = QedBuilder::small(4096);
    image.add_table(5);
    image.add_data(5, 1);
    image.set_l2(5, 2, 0x7);
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.leaks, 0U);
    EXPECT_EQ(report.allocated_clusters, 1U);
    EXPECT_EQ(report.corruptions, 1U);
}

TEST(CheckTest, DirtyImageIsReportedAndLeftAsItIs) {
    QedBuilder image(test::geometry(4096, 1), 1 << 20, feature::kNeedCheck);
    const MemoryFile before(image.file);
    const CheckReport report = check(image.file);
    EXPECT_TRUE(report.was_dirty);
    EXPECT_TRUE(report.is_dirty);
    EXPECT_TRUE(image.file == before);
}

TEST(CheckTest, FindingsStopAtTheLimitAndTheRestIsCounted) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_table(1);
    for (std::uint64_t i = 0; i < 500; ++i)
        image.set_l2(i % 2, i / 2, 2 + i);
    image.set_l1(2, 5);
    CheckOptions options;
    options.finding_limit = 10;
    const auto report = sync_wait(check_file(image.file, options));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->corruptions, 501U);
    EXPECT_EQ(report->findings.size(), 10U);
    EXPECT_EQ(report->findings_omitted, 491U);
}

TEST(CheckTest, UnreadableTableIsNamedAndTheOthersAreStillChecked) {
    QedBuilder image = sound_image();
    image.set_l2(0, 9, 0x7);
    image.file.unreadable = {image.l1(3), image.l1(3) + 1};
    const CheckReport report = check(image.file);
    EXPECT_EQ(report.check_errors, 1U);
    EXPECT_EQ(report.corruptions, 1U);
    EXPECT_EQ(report.allocated_clusters, 3U);
    EXPECT_EQ(report.leaks, 0U);  // the clusters that the table names are unknown
    EXPECT_THAT(only_message(report, Kind::unreadable_table),
                HasSubstr("starting at 0x600000, cannot be read"));
}

TEST(CheckTest, UnreadableL1TableIsAnError) {
    QedBuilder image = sound_image();
    image.file.unreadable = {4096, 4097};
    const auto report = try_check(image.file);
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::io_error);
    EXPECT_THAT(report.error().message(), HasSubstr("reading the L1 table"));
}

TEST(CheckTest, FilesThatAreNoImagesAreRefused) {
    MemoryFile empty;
    EXPECT_EQ(try_check(empty).error().code(), Errc::not_qed);
    QedBuilder image = sound_image();
    Header header = image.header();
    header.features = 0x80;
    image.set_header(header);
    EXPECT_EQ(try_check(image.file).error().code(), Errc::unsupported_feature);
    header.features = 0;
    header.l1_table_offset = {image.file.bytes()};
    image.file.store(0, encode_header(header));
    const auto outside = try_check(image.file);
    EXPECT_EQ(outside.error().code(), Errc::corrupt_metadata);
    EXPECT_THAT(outside.error().message(), HasSubstr("memory.qed: l1_table_offset"));
}

TEST(CheckTest, RepairOfAReadOnlyFileIsRefused) {
    QedBuilder image = sound_image();
    image.file.read_only = true;
    EXPECT_TRUE(try_check(image.file).has_value());
    for (const Repair repair : {Repair::leaks, Repair::entries, Repair::all}) {
        EXPECT_EQ(try_check(image.file, repair).error().code(), Errc::read_only);
    }
}

struct Seen {
    std::uint64_t calls = 0;
    std::uint64_t last = 0;
    std::uint64_t total = 0;
    std::uint64_t stop_after = ~std::uint64_t{0};
};

CheckOptions with_progress(Seen& progress) {
    CheckOptions options;
    options.progress.context = &progress;
    options.progress.callback = [](void* context, std::uint64_t done, std::uint64_t total) {
        auto& seen = *static_cast<Seen*>(context);
        EXPECT_LE(seen.last, done);
        EXPECT_LE(done, total);
        seen = {seen.calls + 1, done, total, seen.stop_after};
        return seen.calls < seen.stop_after;
    };
    return options;
}

QedBuilder image_of_many_tables() {
    QedBuilder image(test::geometry(65536, 4), std::uint64_t{16} << 30);
    for (std::uint64_t i = 0; i < 8; ++i) {
        image.add_table(i);
        for (std::uint64_t j = 0; j < 64; ++j)
            image.set_l2(i, j * 512, 1);
    }
    return image;
}

TEST(CheckTest, ProgressGrowsToTheTotal) {
    QedBuilder image = image_of_many_tables();
    Seen progress;
    ASSERT_TRUE(sync_wait(check_file(image.file, with_progress(progress))).has_value());
    EXPECT_GE(progress.calls, 2U);
    EXPECT_EQ(progress.last, progress.total);
    EXPECT_EQ(progress.total, 8U * (256 << 10));
}

TEST(CheckTest, StopsWhenToldTo) {
    QedBuilder image = image_of_many_tables();
    Seen progress{.stop_after = 1};
    const auto report = sync_wait(check_file(image.file, with_progress(progress)));
    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::cancelled);
    EXPECT_EQ(progress.calls, 1U);
}

}  // namespace
}  // namespace qed
