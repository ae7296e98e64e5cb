// SPDX-License-Identifier: Apache-2.0
#include "engine/sector_writer.hpp"

#include <algorithm>
#include <memory_resource>

#include <gtest/gtest.h>

#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

/// Three runs of one sector each, filled with 1, 2 and 3.
class SectorWriterTest : public testing::Test {
protected:
    SectorWriterTest() {
        for (std::uint64_t i = 0; i < 3; ++i)
            runs_.add(i * 4096, 0, 1, i);
        writer_.place(runs_);
        EXPECT_TRUE(writer_.allocate().has_value());
        for (SectorRun& run : runs_.all()) {
            const auto value = static_cast<std::byte>(run.first_part + 1);
            std::ranges::fill(writer_.content(run), value);
        }
    }
    std::byte first_byte(std::uint64_t at) const { return file_.load(at, 1)[0]; }

    MemoryFile file_{1U << 20};
    SectorRuns runs_{kSectorBytes, *std::pmr::get_default_resource()};
    SectorWriter writer_{file_, kSectorBytes, *std::pmr::get_default_resource()};
};

TEST_F(SectorWriterTest, RunsAreWrittenAndCounted) {
    ASSERT_TRUE(sync_wait(writer_.write(runs_)).has_value());

    for (std::uint64_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(runs_.all()[i].is_written);
        EXPECT_EQ(first_byte(i * 4096), static_cast<std::byte>(i + 1));
    }
    EXPECT_EQ(writer_.write_count(), 3U);
    EXPECT_EQ(writer_.write_bytes(), 3 * kSectorBytes);
}

TEST_F(SectorWriterTest, FailedWriteIsReportedInItsRunOnly) {
    file_.fault = MemoryFile::Fault{.nth = 2, .only = IoKind::write};

    ASSERT_TRUE(sync_wait(writer_.write(runs_)).has_value());

    EXPECT_TRUE(runs_.all()[0].is_written);
    EXPECT_FALSE(runs_.all()[1].is_written);
    ASSERT_TRUE(runs_.all()[1].error.has_value());
    EXPECT_EQ(runs_.all()[1].error->code(), Errc::io_error);
    EXPECT_TRUE(runs_.all()[2].is_written);
}

TEST_F(SectorWriterTest, RunWithAnErrorIsNotWritten) {
    runs_.all()[1].error.emplace(Errc::corrupt_metadata, "bad entry");

    ASSERT_TRUE(sync_wait(writer_.write(runs_)).has_value());

    EXPECT_EQ(first_byte(4096), std::byte{0});
    EXPECT_EQ(writer_.write_count(), 2U);
}

}  // namespace
}  // namespace qed
