// SPDX-License-Identifier: Apache-2.0
// Repairs of single damaged entries.
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

std::vector<std::byte> cluster_at(const QedBuilder& image, std::uint64_t entry) {
    return image.file.load(entry, image.cluster_bytes());
}

TEST(RepairTest, BadL2EntriesBecomeUnallocated) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    const std::uint64_t bad[] = {0x7, 0x12345, 4096, 0, std::uint64_t{1} << 40, ~0ULL << 12};
    for (std::uint64_t i = 0; i < std::size(bad); ++i)
        image.set_l2(0, i + 1, bad[i]);
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions_fixed, 5U);  // one of them is 0
    EXPECT_EQ(report.corruptions, 0U);
    for (std::uint64_t i = 0; i < std::size(bad); ++i)
        EXPECT_EQ(image.l2(0, i + 1), 0U);
    EXPECT_NE(image.l2(0, 0), 0U);
    for (const Finding& finding : report.findings) {
        EXPECT_TRUE(finding.repaired);
        EXPECT_THAT(finding.message, HasSubstr("the entry was cleared"));
    }
}

TEST(RepairTest, SecondReferenceGetsACopyAndTheFirstKeepsItsCluster) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 3);
    const std::uint64_t shared = image.l2(0, 3);
    const auto content = cluster_at(image, shared);
    image.set_l2(0, 9, shared);
    image.set_l2(0, 7, shared);
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions_fixed, 2U);
    EXPECT_EQ(image.l2(0, 3), shared);
    EXPECT_NE(image.l2(0, 7), shared);
    EXPECT_NE(image.l2(0, 9), image.l2(0, 7));
    EXPECT_EQ(cluster_at(image, image.l2(0, 7)), content);
    EXPECT_EQ(cluster_at(image, image.l2(0, 9)), content);
    EXPECT_EQ(report.findings[0].guest_offset, 7U * 4096);
    EXPECT_THAT(report.findings[0].message, HasSubstr("guest offset 0x3000 has too"));
    EXPECT_THAT(report.findings[0].message, HasSubstr("its own copy at 0x"));
}

TEST(RepairTest, DataInAClusterThatBecameATableIsSavedBeforeTheTableIsCleared) {
    // A table was placed over guest data, and then the guest wrote over the table.
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_table(1);
    const std::uint64_t table = image.l1(1);
    image.set_l2(0, 0, table);
    image.file.fill(table, 4096, std::byte{0x5a});
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions, 0U);
    EXPECT_NE(image.l2(0, 0), table);
    EXPECT_EQ(cluster_at(image, image.l2(0, 0)), std::vector(4096, std::byte{0x5a}));
    EXPECT_EQ(cluster_at(image, image.l1(1)), std::vector(4096, std::byte{0}));
}

TEST(RepairTest, TablesThatNameEachOtherAsDataAreSavedAsTheyWere) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_table(1);
    image.add_data(0, 0);
    image.set_l2(0, 9, image.l1(1));
    image.set_l2(1, 9, image.l1(0));
    const auto first = cluster_at(image, image.l1(0));
    const auto second = cluster_at(image, image.l1(1));

    EXPECT_EQ(check(image.file, Repair::entries).corruptions_fixed, 2U);

    EXPECT_EQ(check(image.file).corruptions, 0U);
    EXPECT_EQ(cluster_at(image, image.l2(0, 9)), second);
    EXPECT_EQ(cluster_at(image, image.l2(1, 9)), first);
}

TEST(RepairTest, SecondL1EntryOfATableGetsACopyAndCopiesOfItsData) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 5);
    const auto content = cluster_at(image, image.l2(0, 5));
    image.set_l1(4, image.l1(0));
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions, 0U);
    EXPECT_NE(image.l1(4), image.l1(0));
    EXPECT_NE(image.l2(4, 5), image.l2(0, 5));
    EXPECT_EQ(cluster_at(image, image.l2(0, 5)), content);
    EXPECT_EQ(cluster_at(image, image.l2(4, 5)), content);
    EXPECT_THAT(only_message(report, Kind::bad_l1_entry), HasSubstr("the table was copied to"));
}

TEST(RepairTest, ClusterAtACutFileEndKeepsWhatIsLeftOfIt) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    const std::uint64_t entry = image.l2(0, 0);
    image.file.fill(entry, 4096, std::byte{7});
    image.file.resize(entry + 1000);
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions_fixed, 1U);
    EXPECT_EQ(image.l2(0, 0), entry);
    EXPECT_EQ(image.file.bytes(), entry + 4096);
    EXPECT_EQ(image.file.load(entry, 1000), std::vector(1000, std::byte{7}));
    EXPECT_EQ(image.file.load(entry + 1000, 3096), std::vector(3096, std::byte{0}));
}

TEST(RepairTest, TableAtACutFileEndKeepsTheMappingsThatAreLeft) {
    QedBuilder image(test::geometry(4096, 4), 64 << 20);
    image.add_table(0);
    image.add_data(0, 0);
    image.add_table(1);
    image.set_l2(1, 1, image.l2(0, 0));
    image.set_l2(0, 0, 0);
    const std::uint64_t entry = image.l2(1, 1);
    image.file.resize(image.l1(1) + 5000);
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions, 0U);
    EXPECT_EQ(image.l2(1, 1), entry);
    EXPECT_TRUE(check(image.file).findings.empty());
}

TEST(RepairTest, EntryPastTheEndNeverNamesACopy) {
    // Copies are appended to the file, where this entry points.
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    image.set_l2(0, 1, image.l2(0, 0));
    image.set_l2(0, 2, image.file.bytes());
    image.set_l2(0, 3, image.l2(0, 0));
    const auto content = cluster_at(image, image.l2(0, 0));
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions_fixed, 3U);
    EXPECT_EQ(image.l2(0, 2), 0U);
    EXPECT_EQ(cluster_at(image, image.l2(0, 1)), content);
    EXPECT_EQ(cluster_at(image, image.l2(0, 3)), content);
    EXPECT_TRUE(check(image.file).findings.empty());
}

TEST(RepairTest, UnreadableClusterIsLeftInPlaceAndTheImageStaysMarked) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    image.add_data(0, 1);
    image.add_leak();
    const std::uint64_t shared = image.l2(0, 0);
    image.set_l2(0, 2, shared);
    image.set_l2(0, 3, image.l2(0, 1));
    image.file.unreadable = {shared, shared + 1};
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions, 1U);
    EXPECT_EQ(report.corruptions_fixed, 1U);
    EXPECT_TRUE(report.is_dirty);
    EXPECT_EQ(report.leaks_fixed, 0U);
    EXPECT_EQ(image.l2(0, 2), shared);
    EXPECT_THAT(only_message(report, Kind::not_cleared), HasSubstr("NEED_CHECK stays set"));
    EXPECT_TRUE(decode_header(image.file.load(0, 64))->needs_check());
}

TEST(RepairTest, NothingIsChangedWhileATableCannotBeRead) {
    QedBuilder image(test::geometry(4096, 1), 64 << 20, feature::kNeedCheck);
    image.add_table(0);
    image.add_table(1);
    image.set_l2(0, 0, 7);
    image.set_l2(1, 0, 1);
    image.add_leak();
    image.file.unreadable = {image.l1(1), image.l1(1) + 1};
    const MemoryFile before(image.file);
    for (const Repair repair : {Repair::leaks, Repair::entries, Repair::all}) {
        const CheckReport report = check(image.file, repair);
        EXPECT_EQ(report.corruptions, 1U);
        EXPECT_EQ(report.check_errors, 1U);
        EXPECT_TRUE(report.is_dirty);
        EXPECT_TRUE(image.file == before);
    }
}

TEST(RepairTest, CopiesOfAForgedImageStopWhenTheFileHasDoubled) {
    QedBuilder image(test::geometry(1 << 20, 1), std::uint64_t{1} << 40);
    image.add_table(0);
    image.add_data(0, 0);
    for (std::uint64_t i = 1; i < 1000; ++i)
        image.set_l2(0, i, image.l2(0, 0));
    const std::uint64_t clusters = image.clusters();
    const CheckReport report = check(image.file, Repair::all);
    EXPECT_EQ(report.corruptions_fixed, 64U);
    EXPECT_EQ(report.corruptions, 999U - 64);
    EXPECT_EQ(image.clusters(), clusters + 64);
    EXPECT_TRUE(report.is_dirty);
}

TEST(RepairTest, DirtyButSoundImageIsCleanAfterAnyRepair) {
    for (const Repair repair : {Repair::leaks, Repair::entries, Repair::all}) {
        QedBuilder image(test::geometry(4096, 1), 1 << 20, feature::kNeedCheck);
        image.add_table(0);
        image.add_data(0, 0);
        std::vector<test::FileChange> history;
        image.file.history = &history;
        const CheckReport report = check(image.file, repair);
        EXPECT_TRUE(report.was_dirty);
        EXPECT_FALSE(report.is_dirty);
        EXPECT_FALSE(decode_header(image.file.load(0, 64))->needs_check());
        // Flush, header, flush: the bit is cleared when everything before it is durable.
        ASSERT_EQ(history.size(), 3U);
        EXPECT_EQ(history[0].kind, IoKind::flush);
        EXPECT_EQ(history[1].kind, IoKind::write);
        EXPECT_EQ(history[2].kind, IoKind::flush);
    }
}

TEST(RepairTest, SoundAndCleanImageIsNotWrittenTo) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    std::vector<test::FileChange> history;
    image.file.history = &history;
    for (const Repair repair : {Repair::leaks, Repair::entries, Repair::all}) {
        EXPECT_TRUE(check(image.file, repair).findings.empty());
    }
    EXPECT_TRUE(history.empty());
}

TEST(RepairTest, UnknownAutoclearBitsGoWithTheFirstChangeAndOtherBitsStay) {
    for (const bool is_corrupt : {false, true}) {
        QedBuilder image = QedBuilder::small();
        Header header = image.header();
        header.autoclear_features = 0xf0;
        header.compat_features = 0xf0;
        image.set_header(header);
        image.add_leak();
        image.add_table(0);
        if (is_corrupt) image.set_l2(0, 0, 7);
        check(image.file, Repair::all);
        const Header after = decode_header(image.file.load(0, 64)).value();
        EXPECT_EQ(after.autoclear_features, 0U);
        EXPECT_EQ(after.compat_features, 0xf0U);
        EXPECT_FALSE(after.needs_check());
    }
}

TEST(ReclaimTest, LeakedTailIsCutOffAndNothingElseIsWritten) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    const MemoryFile sound(image.file);
    image.add_leak(5);
    std::vector<test::FileChange> history;
    image.file.history = &history;
    const CheckReport report = check(image.file, Repair::leaks);
    EXPECT_EQ(report.leaks_fixed, 5U);
    EXPECT_TRUE(image.file == sound);
    for (const auto& change : history)
        EXPECT_NE(change.kind, IoKind::write);
}

TEST(ReclaimTest, DataFromTheEndFillsLeakedClustersInOrder) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    const std::uint64_t hole = image.add_leak(3);
    for (std::uint64_t i = 0; i < 6; ++i)
        image.add_data(0, i);
    const auto before = test::naive_check(image.file).content;
    EXPECT_EQ(check(image.file, Repair::leaks).leaks_fixed, 3U);
    EXPECT_EQ(image.clusters(), 9U);
    for (std::uint64_t i = 0; i < 3; ++i)
        EXPECT_EQ(image.l2(0, 3 + i), image.offset(hole + i));
    const bool is_same = test::naive_check(image.file).content == before;
    EXPECT_TRUE(is_same);
}

TEST(ReclaimTest, TablesMoveWhenOnlyTablesFollowTheLeak) {
    for (const std::uint64_t leak : {1U, 3U, 4U, 9U}) {
        QedBuilder image(test::geometry(4096, 4), 64 << 20);
        image.add_leak(leak);
        for (std::uint64_t i = 0; i < 3; ++i) {
            image.add_table(i);
            image.set_l2(i, i, 1);
        }
        const CheckReport report = check(image.file, Repair::leaks);
        EXPECT_EQ(report.leaks_fixed, leak);
        EXPECT_EQ(image.clusters(), 17U);
        const CheckReport again = check(image.file);
        EXPECT_TRUE(again.findings.empty());
        for (std::uint64_t i = 0; i < 3; ++i)
            EXPECT_EQ(image.l2(i, i), 1U);
    }
}

TEST(ReclaimTest, L1TableAtTheEndMovesToo) {
    QedBuilder image = QedBuilder::small();
    image.add_table(0);
    image.add_data(0, 0);
    image.add_leak(2);
    Header header = image.header();
    const std::uint64_t l1 = image.add_leak();
    image.file.store(image.offset(l1), image.file.load(4096, 4096));
    header.l1_table_offset = {image.offset(l1)};
    image.set_header(header);  // leaks the old place
    const auto content = cluster_at(image, image.l2(0, 0));
    EXPECT_EQ(check(image.file, Repair::leaks).leaks_fixed, 3U);
    EXPECT_EQ(image.clusters(), 4U);
    EXPECT_TRUE(check(image.file).findings.empty());
    const bool is_there = test::naive_check(image.file).content.at(0) == content;
    EXPECT_TRUE(is_there);
}

TEST(ReclaimTest, MovedHolesStayHoles) {
    QedBuilder image(test::geometry(1 << 20, 1), 1 << 30);
    image.add_table(0);
    image.add_leak();
    image.add_data(0, 0);  // 4 KiB of data in a cluster of 1 MiB
    const std::uint64_t stored = image.file.stored_bytes();
    check(image.file, Repair::leaks);
    EXPECT_LE(image.file.stored_bytes(), stored);
}

}  // namespace
}  // namespace qed
