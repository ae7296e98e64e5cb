// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "byte_size.hpp"

namespace qed::cache_sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::expected<Options, Stop> parse(std::vector<const char*> words) {
    words.insert(words.begin(), "qed-cache-sim");
    return parse_options(static_cast<int>(words.size()), words.data());
}

TEST(OptionsTest, TakesTheDefaultImageAndBudgetAndEveryPolicy) {
    const auto options = parse({"--synthetic", "zipf"});
    ASSERT_TRUE(options.has_value()) << options.error().message;
    EXPECT_THAT(options->synthetic, ElementsAre(find_generator("zipf")));
    EXPECT_EQ(options->policies.size(), all_policies().size());
    EXPECT_THAT(options->granularities, ElementsAre(262144, 4096));
    EXPECT_THAT(options->budgets, ElementsAre(12'800 * 1024));
    EXPECT_EQ(options->cluster_bytes, 65536u);
    EXPECT_EQ(options->table_bytes, 262144u);
    EXPECT_EQ(options->image_bytes, std::uint64_t{1} << 40);
    EXPECT_EQ(options->volumes, 1u);
    EXPECT_FALSE(options->json);
}

TEST(OptionsTest, ReadsLists) {
    const auto options = parse(
        {"--csv",         "a.csv,-",  "--csv-format", "offset",   "--policy",     "lru,s3fifo-a",
         "--granularity", "table,1K", "--budget",     "64K,1.5M", "--table-size", "1",
         "--volumes",     "64",       "--lookups",    "1000",     "--form",       "compact",
         "--record",      "0",        "--seed",       "9",        "--json"});
    ASSERT_TRUE(options.has_value()) << options.error().message;
    EXPECT_THAT(options->csv_paths, ElementsAre("a.csv", "-"));
    EXPECT_EQ(options->csv_format, CsvFormat::offset);
    EXPECT_THAT(options->policies, ElementsAre(find_policy("lru"), find_policy("s3fifo-a")));
    EXPECT_THAT(options->granularities, ElementsAre(65536, 1024));
    EXPECT_THAT(options->budgets, ElementsAre(65536, 1536 * 1024));
    EXPECT_EQ(options->volumes, 64u);
    EXPECT_EQ(options->lookup_limit, 1000u);
    EXPECT_EQ(options->synthetic_lookups, 1000u);
    EXPECT_EQ(options->form, EntryForm::compact);
    EXPECT_EQ(options->record_bytes, 0u);
    EXPECT_EQ(options->seed, 9u);
    EXPECT_TRUE(options->json);
}

TEST(OptionsTest, HelpNamesEveryPolicyAndTraceAndIsNoFailure) {
    const auto options = parse({"--help"});
    ASSERT_FALSE(options.has_value());
    EXPECT_EQ(options.error().exit_status, 0);
    for (const PolicyKind& kind : all_policies()) {
        EXPECT_THAT(options.error().message, HasSubstr(std::string(kind.name)));
    }
    for (const Generator& generator : all_generators()) {
        EXPECT_THAT(options.error().message, HasSubstr(std::string(generator.name)));
    }
    EXPECT_THAT(options.error().message, HasSubstr("Examples:"));
}

struct BadCommand {
    std::vector<const char*> words;
    std::string complaint;
};

class BadCommandTest : public testing::TestWithParam<BadCommand> {};

TEST_P(BadCommandTest, IsAUsageErrorThatSaysWhatIsWanted) {
    const auto options = parse(GetParam().words);
    ASSERT_FALSE(options.has_value());
    EXPECT_EQ(options.error().exit_status, 2);
    EXPECT_THAT(options.error().message, HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    Options, BadCommandTest,
    testing::Values(
        BadCommand{{}, "no trace: give --csv or --synthetic"}, BadCommand{{"--bogus"}, "--bogus"},
        BadCommand{{"--synthetic", "zipf,nothing"}, "no synthetic trace \"nothing\"; want one of"},
        BadCommand{{"--synthetic", "zipf", "--policy", "mru"}, "no policy \"mru\"; want one of"},
        BadCommand{{"--synthetic", "zipf", "--cluster-size", "48K"},
                   "--cluster-size is 48K, want a power of two from 4 KiB to 64 MiB"},
        BadCommand{{"--synthetic", "zipf", "--table-size", "3"}, "want 1, 2, 4, 8 or 16"},
        BadCommand{{"--synthetic", "zipf", "--image-size", "65T"}, "want 64 KiB to 64 TiB"},
        BadCommand{{"--synthetic", "zipf", "--granularity", "512K"}, "64 B to 256 KiB"},
        BadCommand{{"--synthetic", "zipf", "--granularity", "5000"}, "a power of two"},
        BadCommand{{"--synthetic", "zipf", "--budget", "0"}, "--budget is 0, want 1 B to"},
        BadCommand{{"--synthetic", "zipf", "--budget", "1Q"}, "\"1Q\" is not a size"},
        BadCommand{{"--synthetic", "zipf", "--volumes", "0"}, "--volumes"},
        BadCommand{{"--synthetic", "zipf", "--lookups", "99999999999"}, "--lookups"},
        BadCommand{{"--csv", "a", "--csv-format", "tsv"}, "--csv-format"}));

TEST(ByteSizeTest, ReadsPowersOf1024WithAndWithoutFractions) {
    for (const auto& [text, bytes] : std::initializer_list<std::pair<const char*, std::uint64_t>>{
             {"0", 0},
             {"512", 512},
             {"512B", 512},
             {"4K", 4096},
             {"4KB", 4096},
             {"4KiB", 4096},
             {"4 KiB", 4096},
             {"12.5M", 12'800 * 1024},
             {"1G", 1U << 30},
             {"1T", std::uint64_t{1} << 40},
             {"4194304T", std::uint64_t{1} << 62}}) {
        EXPECT_EQ(parse_bytes(text), bytes) << text;
    }
}

TEST(ByteSizeTest, RefusesWhatIsNoSize) {
    for (const char* text : {"", "K", "-1", "1.5", "1 B B", "4k", "0x10", "nan", "inf", "1e3",
                             "4194305T", "1..5M", "10,5"}) {
        EXPECT_FALSE(parse_bytes(text).has_value()) << text;
    }
}

TEST(ByteSizeTest, WritesTheLargestUnitThatIsExact) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(100), "100 B");
    EXPECT_EQ(format_bytes(4096), "4 KiB");
    EXPECT_EQ(format_bytes(12'800 * 1024), "12.5 MiB");
    EXPECT_EQ(format_bytes(std::uint64_t{1} << 40), "1 TiB");
    EXPECT_EQ(format_bytes(4097), "4097 B");
}

}  // namespace
}  // namespace qed::cache_sim
