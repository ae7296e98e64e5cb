// SPDX-License-Identifier: Apache-2.0
// Output of commands that programs parse: the same words and keys as qemu-img.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/reports/check_text.hpp"
#include "cli/terminal/progress.hpp"

namespace qed::cli {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

CheckReport sound_report() {
    CheckReport report;
    report.total_clusters = 1600;
    report.allocated_clusters = 3;
    report.fragmented_clusters = 1;
    return report;
}

TEST(CheckTextTest, SaysNoErrorsInTheWordsOfQemuImg) {
    const CheckReport report = sound_report();
    EXPECT_EQ(check_text(report, report),
              "No errors were found on the image.\n"
              "3/1600 = 0.19% allocated, 33.33% fragmented, 0.00% compressed clusters\n");
    EXPECT_EQ(check_exit_status(report), 0);
}

TEST(CheckTextTest, NamesLeaksAndCorruptionsApart) {
    CheckReport report = sound_report();
    report.leaks = 1;
    EXPECT_THAT(check_text(report, report),
                HasSubstr("\n1 leaked clusters were found on the image.\n"
                          "This means waste of disk space, but no harm to data.\n"));
    EXPECT_EQ(check_exit_status(report), 3);
    report.corruptions = 2;
    EXPECT_THAT(check_text(report, report),
                HasSubstr("\n2 errors were found on the image.\n"
                          "Data may be corrupted, or further writes to the image may corrupt it."));
    EXPECT_EQ(check_exit_status(report), 2);
    report.check_errors = 1;
    EXPECT_EQ(check_exit_status(report), 1);
}

TEST(CheckTextTest, RepairReportsRepairsAndSecondCheck) {
    CheckReport first = sound_report();
    first.corruptions_fixed = 1;
    first.leaks_fixed = 2;
    const std::string text = check_text(first, sound_report());
    EXPECT_THAT(text, HasSubstr("The following inconsistencies were found and repaired:\n\n"
                                "    2 leaked clusters\n    1 corruptions\n\n"
                                "Double checking the fixed image now...\n"
                                "No errors were found on the image.\n"));
}

TEST(CheckJsonTest, HasQemuImgsKeysAndLeavesZeroesOutAsItDoes) {
    const CheckReport report = sound_report();
    const auto json = nlohmann::json::parse(check_json("a.qed", report, report));
    EXPECT_EQ(json["filename"], "a.qed");
    EXPECT_EQ(json["format"], "qed");
    EXPECT_EQ(json["check-errors"], 0);
    EXPECT_EQ(json["total-clusters"], 1600);
    EXPECT_EQ(json["allocated-clusters"], 3);
    EXPECT_EQ(json["fragmented-clusters"], 1);
    for (const char* const key : {"leaks", "corruptions", "leaks-fixed", "corruptions-fixed"}) {
        EXPECT_FALSE(json.contains(key)) << key;
    }
}

TEST(CheckJsonTest, ListsFindings) {
    CheckReport report = sound_report();
    report.findings.push_back({.kind = Finding::Kind::bad_l2_entry,
                               .guest_offset = 65536,
                               .length = 65536,
                               .message = "L2 entry 1 is odd",
                               .repaired = false});
    const auto json = nlohmann::json::parse(check_json("\xff.qed", report, report));
    ASSERT_EQ(json["findings"].size(), 1U);
    EXPECT_EQ(json["findings"][0]["kind"], "bad-l2-entry");
    EXPECT_EQ(json["findings"][0]["guest-offset"], 65536);
}

TEST(ProgressTextTest, PercentHasTheFormatOfQemuImg) {
    EXPECT_EQ(progress_percent(0, 8), "    (0.00/100%)");
    EXPECT_EQ(progress_percent(7, 8), "    (87.50/100%)");
    EXPECT_EQ(progress_percent(0, 0), "    (100.00/100%)");
}

TEST(ProgressTextTest, RateAndRemainingTimeAppearAfterHalfASecond) {
    EXPECT_THAT(progress_line(1U << 30U, std::uint64_t{4} << 30U, 0.1), Not(HasSubstr("/s")));
    const std::string line = progress_line(1U << 30U, std::uint64_t{4} << 30U, 2);
    EXPECT_THAT(line, HasSubstr("25.0%  1 GiB of 4 GiB  512 MiB/s  6 s left"));
    EXPECT_THAT(progress_line(1, 10000, 1), EndsWith("2:46 h left"));
}

TEST(ProgressTextTest, IsOneObjectALineForPrograms) {
    const std::string line = progress_json(512, 1024, 2);
    EXPECT_THAT(line, Not(HasSubstr("\n")));
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["done"], 512);
    EXPECT_EQ(json["bytes-per-second"], 256.0);
    EXPECT_EQ(json["seconds-left"], 2.0);
}

}  // namespace
}  // namespace qed::cli
