// SPDX-License-Identifier: Apache-2.0
#include "qed/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/qed_builder.hpp"

namespace qed {
namespace {

using test::QedBuilder;
using testing::HasSubstr;

CheckReport check(BlockFile& file, Repair repair = Repair::none) {
    CheckOptions options;
    options.repair = repair;
    Result<CheckReport> report = sync_wait(check_file(file, options));
    if (!report) {
        ADD_FAILURE() << report.error().message();
        return {};
    }
    return std::move(*report);
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

}  // namespace
}  // namespace qed
