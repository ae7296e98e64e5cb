// SPDX-License-Identifier: Apache-2.0
// Images whose tables break the rules: what is not opened for writing, and what readers find.
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "qed/map.hpp"
#include "support/qed_builder.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using test::QedBuilder;

QedBuilder two_clusters() {
    QedBuilder builder = QedBuilder::small();
    builder.add_table(0);
    builder.add_data(0, 0);
    builder.add_data(0, 1);
    return builder;
}

std::optional<Errc> refusal(const QedBuilder& builder) {
    OpenOptions options;
    options.writable = true;
    auto image =
        sync_wait(Image::open_file(std::make_unique<MemoryFile>(builder.file), nullptr, options));
    if (image) return std::nullopt;
    EXPECT_THAT(image.error().message(), testing::HasSubstr("run 'qed check -r all'"));
    return image.error().code();
}

TEST(DamagedImageTest, AClusterNamedTwiceIsNotWrittenTo) {
    QedBuilder builder = two_clusters();
    EXPECT_EQ(refusal(builder), std::nullopt);
    builder.set_l2(0, 10, builder.l2(0, 1));
    EXPECT_EQ(refusal(builder), Errc::needs_check);
}

TEST(DamagedImageTest, AnEntryThatNamesATableIsNotWrittenTo) {
    QedBuilder builder = two_clusters();
    builder.set_l2(0, 1, builder.l1(0));
    EXPECT_EQ(refusal(builder), Errc::needs_check);
}

// Growing the disk makes such entries valid.
TEST(DamagedImageTest, TablesPastTheEndOfTheDiskAreLookedAtAsWell) {
    QedBuilder builder = two_clusters();
    const std::uint64_t beyond = builder.geometry().l1_entries_used(builder.header().image_bytes);
    builder.add_table(beyond);
    EXPECT_EQ(refusal(builder), std::nullopt);
    builder.set_l2(beyond, 0, builder.l2(0, 0));
    EXPECT_EQ(refusal(builder), Errc::needs_check);
    builder.set_l2(beyond, 0, builder.file.bytes());  // named as soon as the file is longer
    EXPECT_EQ(refusal(builder), Errc::needs_check);
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

}  // namespace
}  // namespace qed
