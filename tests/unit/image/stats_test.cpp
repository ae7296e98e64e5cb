// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

TEST(StatsTest, ClustersAreCountedWhenTheyAreTakenAndWhenTheyAreGivenBack) {
    auto file = std::make_unique<test::MemoryFile>();
    CreateOptions create;
    create.image_bytes = 1U << 20;
    create.cluster_bytes = 4096;
    ASSERT_TRUE(sync_wait(Image::format(*file, create)).has_value());
    OpenOptions options;
    options.writable = true;
    const auto image = sync_wait(Image::open_file(std::move(file), nullptr, options));
    ASSERT_TRUE(image.has_value()) << image.error().message();
    const std::vector<std::byte> data(8 * 4096, std::byte{1});

    ASSERT_TRUE((*image)->write_blocking({0}, data).has_value());
    ASSERT_TRUE((*image)->discard_blocking({4096}, std::uint64_t{3} * 4096).has_value());

    EXPECT_EQ((*image)->stats().allocated_clusters, 8U);
    EXPECT_EQ((*image)->stats().freed_clusters, 3U);
}

TEST(StatsTest, TableWritesAreCountedInEachOrder) {
    for (const auto order : {WriteOrder::strict, WriteOrder::ordered, WriteOrder::deferred}) {
        auto file = std::make_unique<test::MemoryFile>();
        CreateOptions create;
        create.image_bytes = 1U << 20;
        ASSERT_TRUE(sync_wait(Image::format(*file, create)).has_value());
        OpenOptions options;
        options.writable = true;
        options.order = order;
        const auto image = sync_wait(Image::open_file(std::move(file), nullptr, options));
        ASSERT_TRUE(image.has_value()) << image.error().message();
        const std::vector<std::byte> data(512, std::byte{1});

        ASSERT_TRUE((*image)->write_blocking({0}, data).has_value());
        ASSERT_TRUE((*image)->flush_blocking().has_value());

        const Stats stats = (*image)->stats();
        EXPECT_GE(stats.table_writes, 2U) << "the entry, and that of the new table";
        EXPECT_LE(stats.table_writes, 3U);
    }
}

}  // namespace
}  // namespace qed
