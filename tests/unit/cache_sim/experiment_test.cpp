// SPDX-License-Identifier: Apache-2.0
// From options to reports, like the program.
#include "experiment.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "report.hpp"
#include "support/temp_dir.hpp"

namespace qed::cache_sim {
namespace {

using ::testing::HasSubstr;

Options two_policies() {
    Options options;
    options.policies = {find_policy("fifo"), find_policy("belady")};
    options.granularities = {262144, 4096};
    options.budgets = {1 << 20, 12'800 * 1024};
    return options;
}

class CsvFile : public testing::Test {
protected:
    std::string write(const std::string& text) {
        std::ofstream(path_) << text;
        return path_;
    }

private:
    const test::TempDir folder_;  // one per test, because tests run concurrently
    const std::string path_ = folder_.file("trace.csv");
};

TEST_F(CsvFile, IsPlayedAtEveryGranularityAndBudget) {
    Options options = two_policies();
    options.csv_paths = {write("offset,length\n0,65536\n65536,65536\n3000000000,4096\n")};
    const auto results = run_experiment(options);
    ASSERT_TRUE(results.has_value()) << results.error();
    ASSERT_EQ(results->size(), 4u);
    for (const Result& result : *results) {
        EXPECT_EQ(result.lookups, 3u);
        EXPECT_EQ(result.touched_entries, 2u);
        ASSERT_EQ(result.outcomes.size(), 2u);
        EXPECT_EQ(result.outcomes[0].misses, 2u);
    }
    EXPECT_EQ((*results)[0].granularity, 262144u);
    EXPECT_EQ((*results)[0].budget_bytes, 1u << 20);
    EXPECT_EQ((*results)[3].granularity, 4096u);
    EXPECT_EQ((*results)[3].budget_bytes, 12'800u * 1024);
}

TEST_F(CsvFile, VolumesShareNoEntry) {
    Options options = two_policies();
    options.csv_paths = {write("0,65536\n65536,65536\n3000000000,4096\n")};
    options.volumes = 10;
    const auto results = run_experiment(options);
    ASSERT_TRUE(results.has_value()) << results.error();
    EXPECT_EQ(results->front().lookups, 30u);
    EXPECT_EQ(results->front().touched_entries, 20u);
}

TEST_F(CsvFile, TooManyVolumesForTheAddressSpaceAreRefused) {
    Options options = two_policies();
    options.csv_paths = {write("4611686018427387904,4096\n")};
    options.volumes = 3;
    const auto results = run_experiment(options);
    ASSERT_FALSE(results.has_value());
    EXPECT_THAT(results.error(), HasSubstr("do not fit into 2^63 bytes"));
}

TEST_F(CsvFile, TooManyRequestsForTheMemoryAreRefused) {
    Options options = two_policies();
    std::string text;
    for (int i = 0; i < 1000; ++i)
        text += "0,1\n";
    options.csv_paths = {write(text)};
    options.volumes = 65536;
    const auto results = run_experiment(options);
    ASSERT_FALSE(results.has_value());
    EXPECT_THAT(results.error(), HasSubstr("1000 requests times 65536 volumes"));
}

TEST(ExperimentTest, NamesAFileThatCannotBeOpened) {
    Options options = two_policies();
    options.csv_paths = {"/nonexistent/guest.csv"};
    const auto results = run_experiment(options);
    ASSERT_FALSE(results.has_value());
    EXPECT_EQ(results.error(), "/nonexistent/guest.csv: No such file or directory");
}

TEST(ExperimentTest, ALimitCutsTraces) {
    Options options = two_policies();
    options.synthetic = {find_generator("zipf"), find_generator("loop")};
    options.synthetic_lookups = 1000;
    options.lookup_limit = 700;
    const auto results = run_experiment(options);
    ASSERT_TRUE(results.has_value()) << results.error();
    ASSERT_EQ(results->size(), 8u);
    for (const Result& result : *results)
        EXPECT_EQ(result.lookups, 700u);
}

TEST(ReportTest, JsonHoldsEveryFigure) {
    Options options = two_policies();
    options.granularities = {4096};
    options.budgets = {8320};
    options.synthetic = {find_generator("loop")};
    options.synthetic_lookups = 100;
    const auto results = run_experiment(options);
    ASSERT_TRUE(results.has_value()) << results.error();
    const auto document = nlohmann::json::parse(json_report(options, *results));
    EXPECT_EQ(document["cluster_bytes"], 65536);
    EXPECT_EQ(document["form"], "raw");
    const auto& result = document["results"].at(0);
    EXPECT_EQ(result["trace"], "loop");
    EXPECT_EQ(result["lookups"], 100);
    EXPECT_EQ(result["touched_entries"], 100);
    EXPECT_EQ(result["granularity_bytes"], 4096);
    EXPECT_EQ(result["budget_bytes"], 8320);
    const auto& fifo = result["policies"].at(0);
    EXPECT_EQ(fifo["policy"], "fifo");
    EXPECT_EQ(fifo["misses"], 100);
    EXPECT_EQ(fifo["miss_percent"], 100.0);
    EXPECT_EQ(fifo["table_bytes_read"], 100 * 4096);
    EXPECT_EQ(fifo["evictions"], 98);
    EXPECT_EQ(fifo["peak_bytes"], 8320);
    EXPECT_EQ(fifo["peak_entries"], 2);
}

TEST(ReportTest, JsonReplacesBytesOfAFileNameThatAreNotUtf8) {
    const Options options = two_policies();
    const std::vector<Result> results{{"guest\xff.csv", 1, 1, 4096, 4160, {{}, {}}}};
    EXPECT_TRUE(nlohmann::json::accept(json_report(options, results)));
}

TEST(ReportTest, TextHasOneTableForEachTrace) {
    Options options = two_policies();
    options.synthetic = {find_generator("zipf"), find_generator("loop")};
    options.synthetic_lookups = 1000;
    const auto results = run_experiment(options);
    ASSERT_TRUE(results.has_value()) << results.error();
    const std::string text = text_report(options, *results);
    EXPECT_THAT(text, HasSubstr("clusters of 64 KiB, tables of 256 KiB, entries raw + 64 B"));
    EXPECT_THAT(text, HasSubstr("zipf: 1000 lookups, miss %"));
    EXPECT_THAT(text, HasSubstr("loop: 1000 lookups, miss %"));
    EXPECT_THAT(text, HasSubstr("12.5 MiB"));
    EXPECT_EQ(std::ranges::count(text, '\n'), 1 + 2 * (3 + 4));
}

}  // namespace
}  // namespace qed::cache_sim
