// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/qed_builder.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using test::QedBuilder;

TEST(OpenDirtyTest, OpeningForWritingRepairsEntriesAndKeepsLeakedClusters) {
    QedBuilder builder(test::geometry(4096, 1), 8 << 20, feature::kNeedCheck);
    builder.add_table(0);
    builder.add_data(0, 0);
    builder.add_table(1);
    const std::uint64_t orphan = builder.add_data(1, 0);
    builder.add_data(0, 1);                // so that the end of the file stays
    builder.set_l1(1, builder.l1(1) + 8);  // the table and its data can be reached no more
    builder.set_l2(0, 5, std::uint64_t{1} << 40);
    const auto orphan_bytes = builder.file.load(builder.offset(orphan), 4096);

    auto owned = std::make_unique<MemoryFile>(builder.file);
    MemoryFile& file = *owned;
    auto image =
        sync_wait(Image::open_file(std::move(owned), nullptr, OpenOptions{.writable = true}));
    ASSERT_TRUE(image.has_value()) << image.error().message();

    EXPECT_FALSE((*image)->header().needs_check());
    EXPECT_EQ(test::naive_check(file).corruptions(), 0U);
    EXPECT_EQ(file.load(builder.offset(orphan), 4096), orphan_bytes);
    ASSERT_TRUE((*image)->close().has_value());
}

}  // namespace
}  // namespace qed
