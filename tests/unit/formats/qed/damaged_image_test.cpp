// SPDX-License-Identifier: Apache-2.0
// Requests to images whose tables break the rules in ways that opening does not detect.
#include <array>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "qed/map.hpp"
#include "support/qed_builder.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using test::QedBuilder;

class DamagedImageTest : public testing::TestWithParam<bool> {};

TEST_P(DamagedImageTest, ClusterNamedTwiceMayBeFreedTwice) {
    QedBuilder builder = QedBuilder::small();
    builder.add_table(0);
    builder.add_data(0, 0);
    builder.add_data(0, 1);
    builder.add_data(0, 2);
    for (std::uint64_t i = 0; i < 3; ++i)  // three clusters in six entries
        builder.set_l2(0, 10 + i, builder.l2(0, i));
    OpenOptions options;
    options.writable = true;
    auto image =
        sync_wait(Image::open_file(std::make_unique<MemoryFile>(builder.file), nullptr, options));
    ASSERT_TRUE(image.has_value()) << image.error().message();

    ASSERT_TRUE((*image)->discard_blocking({0}, std::uint64_t{3} * 4096).has_value());
    if (GetParam()) {
        ASSERT_TRUE((*image)->flush_blocking().has_value());
    }
    for (const std::uint64_t again : {12U, 10U, 11U}) {
        ASSERT_TRUE((*image)->discard_blocking({again * 4096}, 4096).has_value());
    }
    EXPECT_TRUE((*image)->close().has_value());
}

TEST(DamagedImageMapTest, ExtentsEndBeforeABadEntryWhichIsTheNextErrorToBeFound) {
    QedBuilder builder = QedBuilder::small();
    builder.add_table(0);
    builder.add_data(0, 0);
    builder.add_data(0, 1);
    builder.set_l2(0, 2, 0x1234567);
    auto image = sync_wait(
        Image::open_file(std::make_unique<MemoryFile>(builder.file), nullptr, OpenOptions{}));
    ASSERT_TRUE(image.has_value()) << image.error().message();

    std::array<MappedExtent, 4> extents;
    const auto found = map_extents(**image, {0}, std::uint64_t{4} * 4096, extents);
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_EQ(*found, 1U);
    EXPECT_EQ(extents[0].length, std::uint64_t{2} * 4096);
    const auto rest = map_extents(**image, {8192}, 8192, extents);
    ASSERT_FALSE(rest.has_value());
    EXPECT_EQ(rest.error().code(), Errc::corrupt_metadata);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutAFlushBetween, DamagedImageTest, testing::Bool());

}  // namespace
}  // namespace qed
