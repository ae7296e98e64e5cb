// SPDX-License-Identifier: Apache-2.0
// An open image at its end, and behind it where it has become larger.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kClusterBytes = 4096;

std::unique_ptr<MemoryFile> make_file(std::uint64_t bytes, bool has_backing) {
    CreateOptions create;
    create.image_bytes = bytes;
    create.cluster_bytes = kClusterBytes;
    if (has_backing) {
        create.backing_name = "below";
        create.backing_format = BackingFormat::qed;
    }
    auto file = std::make_unique<MemoryFile>();
    EXPECT_TRUE(sync_wait(Image::format(*file, create)).has_value());
    return file;
}

std::unique_ptr<Image> open(std::unique_ptr<MemoryFile> file, std::shared_ptr<Image> below) {
    OpenOptions options;
    options.writable = true;
    auto image = sync_wait(Image::open_file(std::move(file), std::move(below), options));
    EXPECT_TRUE(image.has_value()) << image.error().message();
    return std::move(*image);
}

std::vector<std::byte> read(Image& image, std::uint64_t at, std::uint64_t length) {
    std::vector<std::byte> bytes(length, std::byte{0xee});
    const auto done = image.read_blocking(GuestOffset{at}, bytes);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return bytes;
}

TEST(ResizeTest, NewSpaceDoesNotShowABaseThatLiesBehindAShorterLayer) {
    constexpr std::uint64_t kOldBytes = 10 * kClusterBytes;
    constexpr std::uint64_t kNewBytes = 40 * kClusterBytes;
    std::shared_ptr<Image> base = open(make_file(kNewBytes, false), nullptr);
    const std::vector<std::byte> secret(kNewBytes, std::byte{0x5e});
    ASSERT_TRUE(base->write_blocking({0}, secret).has_value());
    std::shared_ptr<Image> middle = open(make_file(kOldBytes, true), base);
    for (const bool reads_before : {false, true}) {
        const auto top = open(make_file(kOldBytes, true), middle);
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
    const auto overlay = open(make_file(kOldBytes, true), nullptr);

    ASSERT_TRUE(overlay->resize_blocking(kNewBytes).has_value());

    // The base may be longer than the overlay was: nothing of it may come to light.
    const auto extent = overlay->extent_at_blocking({kOldBytes}, kNewBytes - kOldBytes);
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->kind, ExtentKind::zero);
    EXPECT_EQ(extent->length, kNewBytes - kOldBytes);
}

TEST(LastClusterTest, AllThatTheImageHasOfItIsWrittenWithoutTheBackingFile) {
    constexpr std::uint64_t kBytes = 2 * kClusterBytes + 512;
    const auto overlay = open(make_file(kBytes, true), nullptr);
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
