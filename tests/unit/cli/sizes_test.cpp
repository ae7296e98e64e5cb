// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/sizes.hpp"

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed::cli {
namespace {

TEST(ParseSizeTest, AcceptsWhatPeopleWrite) {
    const std::vector<std::pair<std::string, std::uint64_t>> cases = {
        {"0", 0},
        {"1000", 1000},
        {"512b", 512},
        {"64k", 65536},
        {"512K", 524288},
        {"1m", 1048576},
        {"10G", 10737418240},
        {"10GiB", 10737418240},
        {"1.5T", 1649267441664},
        {"5.G", 5368709120},
        {"9P", 10133099161583616},
        {"7E", 8070450532247928832},
        {"0x1000", 4096},
        {"0.1k", 102},
        {"1.0000000000000000000000001k", 1024},
        {"010", 10},
        {"9223372036854775807", 9223372036854775807},
    };
    for (const auto& [text, bytes] : cases) {
        const auto parsed = parse_size(text, "size");
        ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
        EXPECT_EQ(*parsed, bytes) << text;
    }
}

TEST(ParseSizeTest, RefusesWhatIsNoSizeAndQuotesIt) {
    for (const std::string text : {"", "G", "1x", "-1", "+1", "1.5", "1.5b", ".5G", "1e3", "1 G",
                                   " 1", "1G ", "1,5G", "0x10k", "0x", "1GB", "1Kib", "1biB"}) {
        const auto parsed = parse_size(text, "virtual size");
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code(), Errc::invalid_argument);
        EXPECT_NE(parsed.error().message().find(fmt::format("virtual size: '{}'", text)),
                  std::string::npos)
            << parsed.error().message();
    }
}

TEST(ParseSizeTest, RefusesWhatDoesNotFitInsteadOfWrapping) {
    for (const std::string text : {"8E", "16E", "18446744073709551615E", "18446744073709551616",
                                   "9223372036854775808", "7.9999999999999999999E"}) {
        const auto parsed = parse_size(text, "size");
        if (text.starts_with("7.")) {
            EXPECT_TRUE(parsed) << text;
        } else {
            EXPECT_FALSE(parsed) << text;
        }
    }
}

RC_GTEST_PROP(ParseSizeTest, GivesBackEveryWholeNumberOfEveryUnit, ()) {
    const auto unit = *rc::gen::inRange<std::size_t>(0, 7);
    const std::uint64_t limit = (kMaxSize - 1) >> (unit * 10);
    const auto number = *rc::gen::inRange<std::uint64_t>(0, limit + 1);
    const auto parsed = parse_size(fmt::format("{}{}", number, "bKMGTPE"[unit]), "size");
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == number << (unit * 10));
}

TEST(ParseNumberTest, HoldsTheRange) {
    EXPECT_EQ(*parse_number("16", "-m", 1, 16), 16U);
    for (const std::string text : {"0", "17", "1.0", "4k", "", "-1"}) {
        EXPECT_FALSE(parse_number(text, "-m", 1, 16)) << text;
    }
}

TEST(HumanSizeTest, HasThreeDigitsAndTheUnitOfQemuImg) {
    const std::vector<std::pair<std::uint64_t, std::string>> cases = {
        {0, "0 B"},
        {512, "512 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1000448, "977 KiB"},
        {1023488, "1000 KiB"},  // qemu-img says 1e+03 KiB
        {1024000, "0.977 MiB"},
        {123457024, "118 MiB"},
        {999999488, "954 MiB"},
        {10737418240, "10 GiB"},
        {1234567890432, "1.12 TiB"},
        {kMaxSize - 1, "8 EiB"},
    };
    for (const auto& [bytes, text] : cases) {
        EXPECT_EQ(human_size(bytes), text);
    }
}

}  // namespace
}  // namespace qed::cli
