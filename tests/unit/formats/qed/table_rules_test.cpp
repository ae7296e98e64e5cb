// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/table_rules.hpp"

#include <algorithm>
#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "support/geometries.hpp"

namespace qed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// 64 KiB clusters, tables of 4: header at 0, L1 at 0x10000 to 0x50000, file of 0x200 clusters.
constexpr std::uint64_t kCluster = 0x10000;
constexpr std::uint64_t kTable = 4 * kCluster;
constexpr std::uint64_t kFile = 0x200 * kCluster;

EntryLimits limits(std::uint64_t file_bytes = kFile,
                   std::span<const std::uint64_t> l2_tables = {}) {
    const Header header{.l1_table_offset = {kCluster}};
    return EntryLimits::make(header, test::geometry(65536, 4), file_bytes, l2_tables);
}

TEST(L2EntryTest, ZeroIsUnallocatedAndOneIsAZeroCluster) {
    EXPECT_EQ(classify_l2_entry(0, limits()), EntryKind::unallocated);
    EXPECT_EQ(classify_l2_entry(1, limits()), EntryKind::zero);
    EXPECT_EQ(classify_l2_entry(0, limits(0)), EntryKind::unallocated);
    EXPECT_EQ(classify_l2_entry(1, limits(0)), EntryKind::zero);
}

TEST(L2EntryTest, AlignedClusterAfterTheL1TableIsData) {
    EXPECT_EQ(classify_l2_entry(0x50000, limits()), EntryKind::data);
    EXPECT_EQ(classify_l2_entry(kFile - kCluster, limits()), EntryKind::data);
}

TEST(L2EntryTest, FaultSaysWhatIsWrong) {
    const std::array<std::uint64_t, 2> tables{0x80000, 0xc0000};
    const EntryLimits all = limits(kFile, tables);
    const std::vector<std::pair<std::uint64_t, EntryFault>> cases = {
        {0, EntryFault::none},
        {1, EntryFault::none},
        {2, EntryFault::unaligned},
        {0x50000 + 1, EntryFault::unaligned},
        {0x50000 + 512, EntryFault::unaligned},
        {0x10000, EntryFault::in_l1_table},
        {0x40000, EntryFault::in_l1_table},
        {0x50000, EntryFault::none},
        {0x70000, EntryFault::none},
        {0x80000, EntryFault::in_l2_table},
        {0xb0000, EntryFault::in_l2_table},
        {0xf0000, EntryFault::in_l2_table},
        {0x100000, EntryFault::none},
        {kFile, EntryFault::past_end},
        {std::uint64_t{1} << 63, EntryFault::past_end},
        {~std::uint64_t{0} - 0xffff, EntryFault::past_end},
        {~std::uint64_t{0}, EntryFault::unaligned},
    };
    for (const auto& [entry, fault] : cases) {
        EXPECT_EQ(l2_entry_fault(entry, all), fault) << std::hex << entry;
        EXPECT_EQ(classify_l2_entry(entry, all) == EntryKind::bad, fault != EntryFault::none);
    }
}

RC_GTEST_PROP(L2EntryProperties, BlockTestAgreesWithTestOfEachEntry, ()) {
    constexpr std::uint64_t kFar = std::uint64_t{1} << 63;
    const EntryLimits here = limits(*rc::gen::element<std::uint64_t>(0, kTable, kFile));
    std::vector<std::uint64_t> entries(64, *rc::gen::element<std::uint64_t>(0, 0x50000));
    for (int odd = *rc::gen::inRange(0, 3); odd > 0; --odd) {
        const auto index = *rc::gen::inRange<std::size_t>(0, entries.size());
        entries[index] = *rc::gen::element<std::uint64_t>(
            0, 1, 2, 512, kCluster, 0x4f000, 0x40000, 0x50000, 0x50001, kFile - kCluster, kFile - 1,
            kFile, kFar - kCluster, kFar, kFar + 0x50000, ~std::uint64_t{0} - 0xffff);
    }
    const bool expected = std::ranges::all_of(entries, [&](std::uint64_t entry) {
        return entry == 0 || here.is_valid_cluster_offset(entry);
    });
    RC_ASSERT(are_unallocated_or_places(entries, here) == expected);
}

TEST(L2EntryTest, EveryHeaderClusterIsOutOfBounds) {
    const Header header{.header_clusters = 3, .l1_table_offset = {3 * kCluster}};
    const auto here = EntryLimits::make(header, test::geometry(65536, 4), kFile);
    EXPECT_EQ(l2_entry_fault(kCluster, here), EntryFault::in_header);
    EXPECT_EQ(l2_entry_fault(2 * kCluster, here), EntryFault::in_header);
    EXPECT_EQ(l2_entry_fault(3 * kCluster, here), EntryFault::in_l1_table);
    EXPECT_EQ(classify_l2_entry(2 * kCluster, here), EntryKind::bad);
}

TEST(L2EntryTest, ClusterThatTheFileEndsInIsCutShort) {
    EXPECT_EQ(l2_entry_fault(kFile, limits(kFile + 1)), EntryFault::cut_short);
    EXPECT_EQ(l2_entry_fault(kFile, limits(kFile + kCluster - 1)), EntryFault::cut_short);
    EXPECT_EQ(classify_l2_entry(kFile, limits(kFile + kCluster - 1)), EntryKind::bad);
    EXPECT_EQ(classify_l2_entry(kFile, limits(kFile + kCluster)), EntryKind::data);
}

TEST(L2EntryTest, ClustersBeforeAnL1TableInTheMiddleOfTheFileAreData) {
    const Header header{.l1_table_offset = {0x100000}};
    const auto here = EntryLimits::make(header, test::geometry(65536, 4), kFile);
    EXPECT_EQ(classify_l2_entry(0x10000, here), EntryKind::data);
    EXPECT_EQ(classify_l2_entry(0xf0000, here), EntryKind::data);
    EXPECT_EQ(l2_entry_fault(0x100000, here), EntryFault::in_l1_table);
    EXPECT_EQ(l2_entry_fault(0x130000, here), EntryFault::in_l1_table);
    EXPECT_EQ(classify_l2_entry(0x140000, here), EntryKind::data);
}

RC_GTEST_PROP(L2EntryTest, ClassAndFaultAgreeForAnyEntryAndFileLength, ()) {
    const Geometry geometry = *rc::gen::elementOf(test::every_geometry());
    const std::uint64_t cluster = geometry.cluster_bytes();
    const auto clusters = [&] { return *rc::gen::inRange<std::uint64_t>(0, 100) * cluster; };
    Header header;
    header.cluster_bytes = static_cast<std::uint32_t>(cluster);
    header.table_clusters = geometry.table_clusters();
    header.l1_table_offset = {cluster + clusters()};
    const std::uint64_t file_bytes =
        clusters() + *rc::gen::elementOf(std::vector<std::uint64_t>{0, 1, 511});
    std::vector<std::uint64_t> tables;
    if (*rc::gen::arbitrary<bool>()) tables.push_back(clusters());
    const auto here = EntryLimits::make(header, geometry, file_bytes, tables);
    const std::uint64_t entry =
        clusters() + *rc::gen::elementOf(std::vector<std::uint64_t>{0, 0, 0, 1, 2, 4096});

    const EntryKind kind = classify_l2_entry(entry, here);
    RC_ASSERT((kind == EntryKind::bad) == (l2_entry_fault(entry, here) != EntryFault::none));
    if (kind == EntryKind::data) {
        RC_ASSERT(entry % cluster == 0);
        RC_ASSERT(entry >= header.header_bytes());
        RC_ASSERT(entry + cluster <= file_bytes);
        RC_ASSERT(entry >= here.l1_begin + here.table_bytes || entry + cluster <= here.l1_begin);
    }
}

TEST(L2EntryTest, MessageSaysExpectedFoundAndWhere) {
    const std::string message =
        describe_bad_l2_entry(0x123, {{0x50000}, 17, {0x110000}}, limits(kFile));
    EXPECT_THAT(message, HasSubstr("L2 table at 0x50000, entry 17 (guest offset 0x110000)"));
    EXPECT_THAT(message, HasSubstr("found 0x123"));
    EXPECT_THAT(message, HasSubstr("multiple of 0x10000"));
    EXPECT_THAT(message, HasSubstr("end of the file at 0x2000000"));
    EXPECT_THAT(message, HasSubstr("not aligned"));
}

TEST(L1EntriesTest, TablesSideBySideAreGood) {
    const std::vector<std::uint64_t> entries{0x50000, 0, 0x90000, kFile - kTable, 0xd0000};
    EXPECT_THAT(find_bad_l1_entries(entries, limits()), IsEmpty());
    EXPECT_THAT(find_bad_l1_entries({}, limits()), IsEmpty());
}

TEST(L1EntriesTest, EachFaultIsFound) {
    const std::vector<std::uint64_t> entries{1,       0x50000, 0x90001,          0x40000,
                                             0x20000, kFile,   kFile - kCluster, ~std::uint64_t{0}};
    EXPECT_THAT(
        find_bad_l1_entries(entries, limits()),
        ElementsAre(
            BadL1Entry{.index = 0, .entry = 1, .fault = EntryFault::unaligned},
            BadL1Entry{.index = 2, .entry = 0x90001, .fault = EntryFault::unaligned},
            BadL1Entry{.index = 3, .entry = 0x40000, .fault = EntryFault::in_l1_table},
            BadL1Entry{.index = 4, .entry = 0x20000, .fault = EntryFault::in_l1_table},
            BadL1Entry{.index = 5, .entry = kFile, .fault = EntryFault::past_end},
            BadL1Entry{.index = 6, .entry = kFile - kCluster, .fault = EntryFault::cut_short},
            BadL1Entry{.index = 7, .entry = ~std::uint64_t{0}, .fault = EntryFault::unaligned}));
}

TEST(L1EntriesTest, TableThatReachesIntoTheL1TableFromBelowIsBad) {
    const Header header{.l1_table_offset = {0x100000}};
    const auto here = EntryLimits::make(header, test::geometry(65536, 4), kFile);
    const std::vector<std::uint64_t> entries{0xc0000, 0xd0000};
    EXPECT_THAT(
        find_bad_l1_entries(entries, here),
        ElementsAre(BadL1Entry{.index = 1, .entry = 0xd0000, .fault = EntryFault::in_l1_table}));
}

TEST(L1EntriesTest, TableAtTheFileEndMustEndThere) {
    const std::vector<std::uint64_t> entries{kFile - kTable};
    EXPECT_THAT(find_bad_l1_entries(entries, limits(kFile)), IsEmpty());
    EXPECT_EQ(find_bad_l1_entries(entries, limits(kFile - 1)).at(0).fault, EntryFault::cut_short);
}

TEST(L1EntriesTest, OfTwoOverlappingTablesTheLaterEntryIsBadAndNamesTheOther) {
    const std::vector<std::uint64_t> entries{0, 0x90000, 0xa0000, 0x60000, 0x90000, 0xd0000};
    const auto bad = find_bad_l1_entries(entries, limits());
    EXPECT_THAT(bad, ElementsAre(BadL1Entry{2, 0xa0000, EntryFault::in_l2_table, 1, 0x90000},
                                 BadL1Entry{3, 0x60000, EntryFault::in_l2_table, 1, 0x90000},
                                 BadL1Entry{4, 0x90000, EntryFault::in_l2_table, 1, 0x90000}));
    const std::string message = describe_bad_l1_entry(bad[0], limits());
    EXPECT_THAT(message, HasSubstr("L1 table at 0x10000, entry 2: found 0xa0000"));
    EXPECT_THAT(message, HasSubstr("overlaps an L2 table, that of L1 entry 1 at 0x90000"));
}

TEST(L1EntriesTest, BadTableDoesNotMakeItsNeighboursBad) {
    // Entry 1 overlaps entry 0; entry 2 overlaps only entry 1, which is not used.
    const std::vector<std::uint64_t> entries{0x50000, 0x70000, 0xa0000};
    EXPECT_THAT(find_bad_l1_entries(entries, limits()),
                ElementsAre(BadL1Entry{1, 0x70000, EntryFault::in_l2_table, 0, 0x50000}));
}

RC_GTEST_PROP(L1EntriesTest, GoodTablesNeverOverlapAndBadOnesHaveAReason, ()) {
    const auto clusters =
        *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, 0x40));
    std::vector<std::uint64_t> entries;
    for (const std::uint64_t cluster : clusters)
        entries.push_back(cluster * kCluster);
    const auto here = limits(0x38 * kCluster);
    const auto bad = find_bad_l1_entries(entries, here);

    std::vector<bool> used(0x48);
    std::size_t next_bad = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const auto cells = [&](auto visit) {
            bool hit = false;
            for (std::uint64_t c = clusters[i]; c < clusters[i] + 4; ++c)
                hit |= visit(c);
            return hit;
        };
        const bool outside = clusters[i] < 5 || clusters[i] + 4 > 0x38;
        const bool taken = cells([&](std::uint64_t c) { return used[c]; });
        const bool expected_bad = entries[i] != 0 && (outside || taken);
        const bool found_bad = next_bad < bad.size() && bad[next_bad].index == i;
        RC_ASSERT(found_bad == expected_bad);
        if (found_bad) ++next_bad;
        if (entries[i] != 0 && !expected_bad) {
            cells([&](std::uint64_t c) { return used[c] = true; });
        }
    }
    RC_ASSERT(next_bad == bad.size());
}

TEST(L1EntriesTest, ReachableEntriesAreThoseThatALegalSizeCouldUse) {
    EXPECT_EQ(l1_entries_reachable(test::geometry(65536, 4)), 32768U);
    // 2^27 entries of 2^53 bytes each: only 2^10 of them lie below 2^63.
    EXPECT_EQ(l1_entries_reachable(test::geometry(1U << 26, 16)), 1024U);
    for (const Geometry& geometry : test::every_geometry()) {
        EXPECT_LE(l1_entries_reachable(geometry), std::uint64_t{1} << 21);
    }
}

}  // namespace
}  // namespace qed
