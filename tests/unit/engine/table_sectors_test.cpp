// SPDX-License-Identifier: Apache-2.0
#include "engine/table_sectors.hpp"

#include <memory_resource>

#include <gtest/gtest.h>

namespace qed {
namespace {

constexpr std::uint64_t kTable = 0x100000;
constexpr std::uint32_t kEntries = kSectorBytes / kTableEntryBytes;  // in a sector

class SectorRunsTest : public testing::Test {
protected:
    SectorRuns runs_{kSectorBytes, *std::pmr::get_default_resource()};
};

TEST_F(SectorRunsTest, EntriesBecomeWholeSectors) {
    runs_.add(kTable, kEntries + 3, 2 * kEntries + 1, 0);

    ASSERT_EQ(runs_.all().size(), 1U);
    const SectorRun& run = runs_.all()[0];
    EXPECT_EQ(run.file_offset, kTable + kSectorBytes);
    EXPECT_EQ(run.first_entry(), kEntries);
    EXPECT_EQ(run.bytes(), 2 * kSectorBytes);
}

TEST_F(SectorRunsTest, PartsInTheSameOrTheNextSectorShareARun) {
    runs_.add(kTable, 0, 1, 0);
    runs_.add(kTable, 5, 6, 1);
    runs_.add(kTable, kEntries, kEntries + 1, 2);

    ASSERT_EQ(runs_.all().size(), 1U);
    EXPECT_EQ(runs_.all()[0].bytes(), 2 * kSectorBytes);
    EXPECT_EQ(runs_.all()[0].first_part, 0U);
    EXPECT_EQ(runs_.all()[0].end_part, 3U);
}

TEST_F(SectorRunsTest, DistantSectorsAndOtherTablesStartARun) {
    runs_.add(kTable, 0, 1, 0);
    runs_.add(kTable, 2 * kEntries, 2 * kEntries + 1, 1);
    runs_.add(2 * kTable, 2 * kEntries, 2 * kEntries + 1, 2);

    ASSERT_EQ(runs_.all().size(), 3U);
    EXPECT_EQ(runs_.all()[1].file_offset, kTable + 2 * kSectorBytes);
    EXPECT_EQ(runs_.all()[2].file_offset, 2 * kTable + 2 * kSectorBytes);
}

TEST_F(SectorRunsTest, SkippedPartStartsARun) {
    runs_.add(kTable, 0, 1, 0);
    runs_.add(kTable, 2, 3, 2);

    EXPECT_EQ(runs_.all().size(), 2U);
}

}  // namespace
}  // namespace qed
