// SPDX-License-Identifier: Apache-2.0
// Changes of the backing file name of an image that is open: reads and writes keep to one base.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kCluster = 4096;
constexpr std::uint64_t kDisk = 64 * kCluster;
constexpr std::byte kBase{0xBA};
constexpr std::byte kNew{0x77};

/// A raw disk full of kBase.
std::shared_ptr<Image> full_base() {
    auto file = std::make_unique<MemoryFile>(kDisk);
    file->fill(0, kDisk, kBase);
    return *Image::open_raw(std::move(file));
}

std::vector<std::byte> read(Image& image, std::uint64_t at, std::uint64_t bytes) {
    std::vector<std::byte> buffer(bytes);
    EXPECT_TRUE(image.read_blocking({at}, buffer));
    return buffer;
}

std::vector<std::byte> filled(std::uint64_t bytes, std::byte value) {
    return std::vector<std::byte>(bytes, value);
}

/// An image over full_base(), open, whose header does not name it any more.
class RemovedBackingTest : public testing::Test {
protected:
    RemovedBackingTest() : image_(test::open_layer(test::make_layer(kDisk, true), full_base())) {
        EXPECT_TRUE(image_->set_backing_name_blocking(nullptr, BackingFormat::unstated));
    }
    std::unique_ptr<Image> image_;
};

TEST_F(RemovedBackingTest, DiscardedClustersReadAsZeroes) {
    ASSERT_TRUE(image_->discard_blocking({8 * kCluster}, 2 * kCluster));
    EXPECT_EQ(read(*image_, 8 * kCluster, 2 * kCluster), filled(2 * kCluster, std::byte{0}));
}

TEST_F(RemovedBackingTest, ZeroedClustersReadAsZeroes) {
    ASSERT_TRUE(image_->write_zeroes_blocking({8 * kCluster}, 2 * kCluster));
    EXPECT_EQ(read(*image_, 8 * kCluster, 2 * kCluster), filled(2 * kCluster, std::byte{0}));
}

TEST_F(RemovedBackingTest, ZeroedPartsOfClustersReadAsZeroes) {
    ASSERT_TRUE(image_->write_zeroes_blocking({8 * kCluster + 512}, 1024));
    EXPECT_EQ(read(*image_, 8 * kCluster + 512, 1024), filled(1024, std::byte{0}));
    EXPECT_EQ(read(*image_, 8 * kCluster, 512), filled(512, kBase));
}

TEST_F(RemovedBackingTest, APartialWriteKeepsWhatSurroundsIt) {
    ASSERT_TRUE(image_->write_blocking({8 * kCluster + 512}, filled(512, kNew)));
    EXPECT_EQ(read(*image_, 8 * kCluster, 512), filled(512, kBase));
    EXPECT_EQ(read(*image_, 8 * kCluster + 512, 512), filled(512, kNew));
    EXPECT_EQ(read(*image_, 8 * kCluster + 1024, kCluster - 1024), filled(kCluster - 1024, kBase));
}

TEST_F(RemovedBackingTest, GrownSpaceReadsAsZeroesAlsoWhereTheBaseIsLonger) {
    auto image = test::open_layer(test::make_layer(kDisk / 2, true), full_base());
    ASSERT_TRUE(image->set_backing_name_blocking(nullptr, BackingFormat::unstated));
    ASSERT_TRUE(image->resize_blocking(kDisk));
    EXPECT_EQ(read(*image, kDisk / 2, kDisk / 2), filled(kDisk / 2, std::byte{0}));
}

/// An image without a base, open, whose header names one from now on.
class AddedBackingTest : public testing::Test {
protected:
    AddedBackingTest() {
        auto file = test::make_layer(kDisk, false);
        file_ = file.get();
        image_ = test::open_layer(std::move(file), nullptr);
        EXPECT_TRUE(image_->set_backing_name_blocking("base.raw", BackingFormat::raw));
    }
    /// What the image shows when it is opened again over a base full of kBase.
    std::unique_ptr<Image> reopened() {
        return test::open_layer(std::make_unique<MemoryFile>(*file_), full_base(), false);
    }
    MemoryFile* file_ = nullptr;
    std::unique_ptr<Image> image_;
};

TEST_F(AddedBackingTest, APartialWriteKeepsTheZeroesThatSurroundIt) {
    ASSERT_TRUE(image_->write_blocking({8 * kCluster + 512}, filled(512, kNew)));
    EXPECT_EQ(read(*image_, 8 * kCluster, 512), filled(512, std::byte{0}));
    EXPECT_EQ(read(*image_, 8 * kCluster + 1024, 512), filled(512, std::byte{0}));
}

TEST_F(AddedBackingTest, DiscardedAndZeroedClustersDoNotShowTheNewBaseLater) {
    ASSERT_TRUE(image_->write_blocking({8 * kCluster}, filled(kCluster, kNew)));
    ASSERT_TRUE(image_->discard_blocking({8 * kCluster}, kCluster));
    ASSERT_TRUE(image_->write_zeroes_blocking({10 * kCluster}, kCluster));
    ASSERT_TRUE(image_->write_zeroes_blocking({12 * kCluster}, 512));
    ASSERT_TRUE(image_->flush_blocking());
    const auto again = reopened();
    EXPECT_EQ(read(*again, 8 * kCluster, kCluster), filled(kCluster, std::byte{0}));
    EXPECT_EQ(read(*again, 10 * kCluster, kCluster), filled(kCluster, std::byte{0}));
    EXPECT_EQ(read(*again, 12 * kCluster, 512), filled(512, std::byte{0}));
}

TEST_F(AddedBackingTest, ANewClusterIsDurableBeforeItsEntry) {
    std::vector<test::FileChange> history;
    file_->history = &history;
    ASSERT_TRUE(image_->write_blocking({8 * kCluster}, filled(512, kNew)));
    std::vector<IoKind> after_data;
    bool has_written_data = false;
    for (const test::FileChange& change : history) {
        const bool is_data =
            change.kind == IoKind::write && !change.data.empty() && change.data.front() == kNew;
        if (has_written_data && change.kind != IoKind::truncate) after_data.push_back(change.kind);
        has_written_data = has_written_data || is_data;
    }
    EXPECT_TRUE(has_written_data);
    // The header's mark and a new table may be written in between, but the last write, which makes
    // the entry reachable, follows a flush.
    ASSERT_GE(after_data.size(), 2U);
    EXPECT_EQ(after_data.back(), IoKind::write);
    EXPECT_NE(std::ranges::find(after_data, IoKind::flush), after_data.end());
}

}  // namespace
}  // namespace qed
