// SPDX-License-Identifier: Apache-2.0
// Requests at the end of an open image, and in the space that a resize adds or removes.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::make_layer;
using test::MemoryFile;
using test::open_layer;

constexpr std::uint64_t kClusterBytes = 4096;

std::vector<std::byte> read(Image& image, std::uint64_t at, std::uint64_t length) {
    std::vector<std::byte> bytes(length, std::byte{0xee});
    const auto done = image.read_blocking(GuestOffset{at}, bytes);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return bytes;
}

TEST(ResizeTest, NewSpaceDoesNotShowABaseBelowAShorterLayer) {
    constexpr std::uint64_t kOldBytes = 10 * kClusterBytes;
    constexpr std::uint64_t kNewBytes = 40 * kClusterBytes;
    std::shared_ptr<Image> base = open_layer(make_layer(kNewBytes, false), nullptr);
    const std::vector<std::byte> secret(kNewBytes, std::byte{0x5e});
    ASSERT_TRUE(base->write_blocking({0}, secret).has_value());
    std::shared_ptr<Image> middle = open_layer(make_layer(kOldBytes, true), base);
    for (const bool reads_before : {false, true}) {
        const auto top = open_layer(make_layer(kOldBytes, true), middle);
        if (reads_before) read(*top, 0, kOldBytes);

        ASSERT_TRUE(top->resize_blocking(kNewBytes).has_value());

        const auto old_part = read(*top, 0, kOldBytes);
        EXPECT_EQ(old_part, std::vector<std::byte>(kOldBytes, std::byte{0x5e}));
        const auto new_part = read(*top, kOldBytes, kNewBytes - kOldBytes);
        EXPECT_EQ(new_part, std::vector<std::byte>(new_part.size(), std::byte{0}));
    }
}

TEST(ResizeTest, NewSpaceReadsAsZeroesThoughTheBackingFileWasNotOpened) {
    constexpr std::uint64_t kOldBytes = 2 * kClusterBytes;
    constexpr std::uint64_t kNewBytes = 7 * kClusterBytes;
    const auto overlay = open_layer(make_layer(kOldBytes, true), nullptr);

    ASSERT_TRUE(overlay->resize_blocking(kNewBytes).has_value());

    // The base may be longer than the overlay was: the guest must not see that part of it.
    const auto extent = overlay->extent_at_blocking({kOldBytes}, kNewBytes - kOldBytes);
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->kind, Mapping::Kind::zero);
    EXPECT_EQ(extent->length, kNewBytes - kOldBytes);
}

TEST(ResizeTest, GrowingRefusesASecondL1EntryForATable) {
    constexpr std::uint64_t kGiB = 1U << 30;
    constexpr std::uint64_t kL1At = kClusterBytes;
    auto file = make_layer(kGiB, false);
    {
        auto image = open_layer(std::make_unique<MemoryFile>(*file), nullptr);
        const std::vector<std::byte> data(kClusterBytes, std::byte{0x77});
        ASSERT_TRUE(image->write_blocking({0}, data).has_value());
        ASSERT_TRUE(image->close().has_value());
        file = std::make_unique<MemoryFile>(static_cast<MemoryFile&>(image->file()));
    }
    const std::uint64_t table = file->load_u64(kL1At);
    ASSERT_NE(table, 0U);
    // Past the entries that are loaded when the image is opened, for 5 GiB of 8 MiB each.
    file->store_u64(kL1At + 600 * 8, table);
    OpenOptions options;
    options.writable = true;
    auto opened =
        sync_wait(Image::open_file(std::make_unique<MemoryFile>(*file), nullptr, options));
    if (!opened) {  // refused even before
        EXPECT_EQ(opened.error().code(), Errc::needs_check);
        return;
    }
    Image* image = opened->get();
    const auto grown = image->resize_blocking(5 * kGiB);
    ASSERT_FALSE(grown.has_value());
    EXPECT_EQ(grown.error().code(), Errc::needs_check);
    EXPECT_EQ(image->size(), kGiB);
    EXPECT_EQ(read(*image, 0, kClusterBytes),
              std::vector<std::byte>(kClusterBytes, std::byte{0x77}));
}

TEST(ResizeTest, GrowingAcceptsTablesThatWereAllocatedSinceTheImageWasOpened) {
    constexpr std::uint64_t kGiB = 1U << 30;
    auto image = open_layer(make_layer(kGiB, false), nullptr);
    const std::vector<std::byte> data(kClusterBytes, std::byte{0x77});
    for (std::uint64_t at = 0; at < kGiB; at += kGiB / 8)
        ASSERT_TRUE(image->write_blocking({at}, data).has_value());
    const auto grown = image->resize_blocking(5 * kGiB);
    ASSERT_TRUE(grown.has_value()) << grown.error().message();
    EXPECT_EQ(read(*image, kGiB / 8, kClusterBytes), data);
}

TEST(ResizeTest, ShrinkingRefusesToDropDataUnlessTold) {
    const auto image = open_layer(make_layer(16 * kClusterBytes, false), nullptr);
    const std::vector<std::byte> data(512, std::byte{7});
    ASSERT_TRUE(image->write_blocking(GuestOffset{10 * kClusterBytes}, data).has_value());

    const auto refused = image->resize_blocking(8 * kClusterBytes);
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message().find("data"), std::string::npos)
        << refused.error().message();
    EXPECT_EQ(image->size(), 16 * kClusterBytes);
    EXPECT_EQ(read(*image, 10 * kClusterBytes, 1)[0], std::byte{7});

    EXPECT_TRUE(image->resize_blocking(12 * kClusterBytes).has_value());  // nothing is stored there
    EXPECT_EQ(read(*image, 10 * kClusterBytes, 1)[0], std::byte{7});

    ASSERT_TRUE(image->resize_blocking(8 * kClusterBytes, true).has_value());
    EXPECT_EQ(image->size(), 8 * kClusterBytes);
    ASSERT_TRUE(image->resize_blocking(16 * kClusterBytes).has_value());
    EXPECT_EQ(read(*image, 10 * kClusterBytes, 1)[0], std::byte{0});
    EXPECT_TRUE(image->close().has_value());
}

TEST(LastClusterTest, AllThatTheImageHasOfItIsWrittenWithoutTheBackingFile) {
    constexpr std::uint64_t kBytes = 2 * kClusterBytes + 512;
    const auto overlay = open_layer(make_layer(kBytes, true), nullptr);
    const std::vector<std::byte> data(512, std::byte{7});

    const auto written = overlay->write_blocking({2 * kClusterBytes}, data);

    ASSERT_TRUE(written.has_value()) << written.error().message();
    EXPECT_EQ(read(*overlay, 2 * kClusterBytes, 512), data);
    const auto partial = overlay->write_blocking({512}, data);
    ASSERT_FALSE(partial.has_value());
    EXPECT_EQ(partial.error().code(), Errc::backing_refused);
}

}  // namespace
}  // namespace qed
