// SPDX-License-Identifier: Apache-2.0
// The lines of `qed map`, which are the same as those of qemu-img.
#include "cli/reports/map_text.hpp"

#include <array>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace qed::cli {
namespace {

TEST(DecimalRowTest, AnyNumberEqualsFmtOutput) {
    DecimalRow row;
    std::array<char, 2 * DecimalRow::kMaxBytes> room;
    const auto written = [&](std::uint64_t value) {
        return std::string(room.data(), row.write(room.data(), value));
    };
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{99'999'999}, std::uint64_t{100'000'000},
          std::uint64_t{100'000'001}, std::uint64_t{199'999'999}, std::uint64_t{200'000'000},
          std::uint64_t{5}, std::uint64_t{200'000'007}, std::uint64_t{1'000'000'000'000},
          std::numeric_limits<std::uint64_t>::max()}) {
        EXPECT_EQ(written(value), std::to_string(value));
    }
    std::mt19937_64 random(1);
    for (int i = 0; i < 10'000; ++i) {
        const std::uint64_t value = random() >> (random() % 64);
        ASSERT_EQ(written(value), std::to_string(value));
    }
}

MapLine data_line(std::uint64_t start, std::uint64_t length, std::uint64_t offset) {
    MapLine line;
    line.extent.start = start;
    line.extent.length = length;
    line.extent.data = true;
    line.extent.present = true;
    line.extent.file_offset = FileOffset{offset};
    line.has_offset = true;
    return line;
}

TEST(MapLinesTest, LineDoesNotDependOnPreviousLine) {
    MapLines lines(true, 0);
    lines.add(data_line(0, 65536, 327680));
    lines.add(data_line(65536, 65536, 4096));
    lines.add(data_line(131072, 4096, 0));
    MapLine hole = data_line(135168, 4096, 0);
    hole.has_offset = false;  // like a hole of a raw file
    lines.add(hole);
    MapLine zero;
    zero.extent.start = 139264;
    zero.extent.length = 512;
    zero.extent.zero = true;
    zero.extent.depth = 2;
    lines.add(zero);
    zero.extent.present = true;
    lines.add(zero);
    const std::string data = R"("present": true, "zero": false, "data": true)";
    std::string want;
    want +=
        ",\n"
        R"({ "start": 0, "length": 65536, "depth": 0, )" +
        data + R"(, "offset": 327680})";
    want +=
        ",\n"
        R"({ "start": 65536, "length": 65536, "depth": 0, )" +
        data + R"(, "offset": 4096})";
    want +=
        ",\n"
        R"({ "start": 131072, "length": 4096, "depth": 0, )" +
        data + R"(, "offset": 0})";
    want +=
        ",\n"
        R"({ "start": 135168, "length": 4096, "depth": 0, )" +
        data + "}";
    want +=
        ",\n"
        R"({ "start": 139264, "length": 512, "depth": 2, "present": false, )";
    want += R"("zero": true, "data": false})";
    want +=
        ",\n"
        R"({ "start": 139264, "length": 512, "depth": 2, "present": true, )";
    want += R"("zero": true, "data": false})";
    EXPECT_EQ(lines.text(), want);
    lines.clear();
    EXPECT_EQ(lines.text(), "");
}

TEST(MapLinesTest, TheLargestNumbersFit) {
    MapLines lines(true, 0);
    MapLine line = data_line(std::numeric_limits<std::uint64_t>::max(),
                             std::numeric_limits<std::uint64_t>::max(),
                             std::numeric_limits<std::uint64_t>::max());
    line.extent.depth = std::numeric_limits<unsigned>::max();
    line.extent.present = false;
    line.extent.zero = true;
    lines.add(line);
    EXPECT_EQ(lines.text(),
              ",\n{ \"start\": 18446744073709551615, \"length\": 18446744073709551615, "
              "\"depth\": 4294967295, \"present\": false, \"zero\": true, \"data\": true, "
              "\"offset\": 18446744073709551615}");
}

}  // namespace
}  // namespace qed::cli
