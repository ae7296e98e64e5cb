// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kCluster = 65536;

std::unique_ptr<Image> make_image(CreateOptions create) {
    auto file = std::make_unique<MemoryFile>();
    if (!sync_wait(Image::format(*file, create))) return nullptr;
    auto image =
        sync_wait(Image::open_file(std::move(file), nullptr, OpenOptions{.writable = true}));
    return image ? std::move(*image) : nullptr;
}

int byte_at(Image& image, std::uint64_t at) {
    std::vector<std::byte> byte(1);
    EXPECT_TRUE(image.read_blocking(GuestOffset{at}, byte).has_value());
    return static_cast<int>(byte[0]);
}

TEST(ResizeTest, ShrinkingRefusesToDropDataUnlessTold) {
    const auto image = make_image({.image_bytes = 16 * kCluster});
    ASSERT_NE(image, nullptr);
    const std::vector<std::byte> data(512, std::byte{7});
    ASSERT_TRUE(image->write_blocking(GuestOffset{10 * kCluster}, data).has_value());

    const auto refused = image->resize_blocking(8 * kCluster);
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message().find("data"), std::string::npos)
        << refused.error().message();
    EXPECT_EQ(image->size(), 16 * kCluster);
    EXPECT_EQ(byte_at(*image, 10 * kCluster), 7);

    EXPECT_TRUE(image->resize_blocking(12 * kCluster).has_value());  // nothing is stored there
    EXPECT_EQ(byte_at(*image, 10 * kCluster), 7);

    ASSERT_TRUE(image->resize_blocking(8 * kCluster, true).has_value());
    EXPECT_EQ(image->size(), 8 * kCluster);
    ASSERT_TRUE(image->resize_blocking(16 * kCluster).has_value());
    EXPECT_EQ(byte_at(*image, 10 * kCluster), 0);
    EXPECT_TRUE(image->close().has_value());
}

TEST(PreallocationTest, EveryClusterIsMappedReadsZeroAndIsWrittenInPlace) {
    for (const auto how : {Preallocation::metadata, Preallocation::falloc, Preallocation::full}) {
        const auto image = make_image({.image_bytes = 16 * kCluster, .preallocation = how});
        ASSERT_NE(image, nullptr);
        const auto extent = image->extent_at_blocking(GuestOffset{0}, 16 * kCluster);
        ASSERT_TRUE(extent.has_value());
        EXPECT_EQ(extent->kind, ExtentKind::data);
        EXPECT_EQ(extent->length, 16 * kCluster);
        EXPECT_EQ(byte_at(*image, 5 * kCluster), 0);

        const std::uint64_t file_bytes = *image->file().size();
        const std::vector<std::byte> data(3 * kCluster, std::byte{7});
        ASSERT_TRUE(image->write_blocking(GuestOffset{5 * kCluster + 512}, data).has_value());
        EXPECT_EQ(*image->file().size(), file_bytes);
        EXPECT_EQ(image->stats().allocated_clusters, 0U);
        EXPECT_EQ(image->stats().table_writes, 0U);
        EXPECT_TRUE(image->close().has_value());
    }
    const auto plain = make_image({.image_bytes = 16 * kCluster});
    ASSERT_NE(plain, nullptr);
    const auto extent = plain->extent_at_blocking(GuestOffset{0}, 16 * kCluster);
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->kind, ExtentKind::unallocated);
    EXPECT_TRUE(plain->close().has_value());
}

}  // namespace
}  // namespace qed
