// SPDX-License-Identifier: Apache-2.0
#include "csv_trace.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed::cache_sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::expected<Trace, std::string> read(const std::string& text,
                                       CsvFormat format = CsvFormat::automatic) {
    std::istringstream input(text);
    return read_csv_trace(input, "guest.csv", format);
}

TEST(CsvTraceTest, ReadsBlockTracesWithSectorNumbers) {
    const auto trace = read("version,time,op,size,lbn\n1,5633898,2a,512,42\n1,5633899,28,6656,7\n");
    ASSERT_TRUE(trace.has_value()) << trace.error();
    EXPECT_EQ(trace->name, "guest.csv");
    EXPECT_THAT(trace->requests, ElementsAre(Request{42 * 512, 512}, Request{7 * 512, 6656}));
}

TEST(CsvTraceTest, ReadsOffsetAndLengthInBytesWithOrWithoutAHeader) {
    for (const std::string header : {"", "offset,length\n"}) {
        const auto trace = read(header + "0,4096\n1048576,1\n");
        ASSERT_TRUE(trace.has_value()) << trace.error();
        EXPECT_THAT(trace->requests, ElementsAre(Request{0, 4096}, Request{1048576, 1}));
    }
}

TEST(CsvTraceTest, AcceptsCarriageReturnsEmptyLinesAndAMissingLastLineEnd) {
    const auto trace = read("0,1\r\n\r\n\n2,3");
    ASSERT_TRUE(trace.has_value()) << trace.error();
    EXPECT_THAT(trace->requests, ElementsAre(Request{0, 1}, Request{2, 3}));
}

struct BadTrace {
    std::string text;
    std::string complaint;
    CsvFormat format = CsvFormat::automatic;
};

class BadTraceTest : public testing::TestWithParam<BadTrace> {};

TEST_P(BadTraceTest, IsRefusedWithTheLineAndWhatWasExpected) {
    const auto trace = read(GetParam().text, GetParam().format);
    ASSERT_FALSE(trace.has_value());
    EXPECT_THAT(trace.error(), HasSubstr("guest.csv"));
    EXPECT_THAT(trace.error(), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    CsvTrace, BadTraceTest,
    testing::Values(
        BadTrace{"", "holds no request"}, BadTrace{"offset,length\n", "holds no request"},
        BadTrace{"1,2,3\n", "line 1: found 3 columns, want 5"},
        BadTrace{"1,2\n1,2,3\n", "line 2: found 3 columns, want 2 (offset,length)"},
        BadTrace{"1,2\n", "line 1: found 2 columns, want 5", CsvFormat::block},
        BadTrace{"1,1,2a,512,7\n", "line 1: found 5 columns, want 2", CsvFormat::offset},
        BadTrace{"0,1\n0,x\n", "line 2: length is \"x\", want a decimal number"},
        BadTrace{"0,1\n,1\n", "line 2: offset is \"\""},
        BadTrace{"0,1\n-1,1\n", "offset is \"-1\""}, BadTrace{"0,1\n1 ,1\n", "offset is \"1 \""},
        BadTrace{"0,1073741825\n", "length is 1073741825, want at most 1073741824"},
        BadTrace{"9223372036854775808,1\n", "offset is 9223372036854775808, want at most"},
        BadTrace{"99999999999999999999999,1\n", "want at most"},
        BadTrace{"1,1,2a,512,18014398509481984\n", "lba512 is 18014398509481984, want at most"},
        BadTrace{"0,1\n" + std::string(300, '1'), "line 2: longer than 256 bytes"}));

TEST(CsvTraceTest, SaysWhenTheFileCannotBeRead) {
    std::istringstream input("0,1\n");
    input.setstate(std::ios::badbit);
    const auto trace = read_csv_trace(input, "guest.csv", CsvFormat::automatic);
    ASSERT_FALSE(trace.has_value());
    EXPECT_THAT(trace.error(), HasSubstr("guest.csv: cannot be read"));
}

RC_GTEST_PROP(CsvTraceTest, NeverAcceptsARequestBeyondItsLimits, ()) {
    // Mostly digits and commas, so that some of it is a trace.
    const auto text = *rc::gen::container<std::string>(
        rc::gen::elementOf(std::string("0123456789999,,,\n\n\r a\x80")));
    const auto trace = read(text);
    if (!trace) return;
    for (const Request& request : trace->requests) {
        RC_ASSERT(request.length <= kMaxRequestBytes);
        RC_ASSERT(request.offset <= kMaxOffset - kMaxRequestBytes);
    }
}

}  // namespace
}  // namespace qed::cache_sim
