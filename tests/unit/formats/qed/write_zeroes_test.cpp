// SPDX-License-Identifier: Apache-2.0
// Write-zeroes that keeps its clusters (NBD's NO_HOLE).
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kCluster = 4096;
constexpr std::uint64_t kDisk = 64 * kCluster;

/// A new image whose clusters 8 to 11 hold data.
class NoHoleTest : public testing::Test {
protected:
    NoHoleTest() : image_(test::open_layer(test::make_layer(kDisk, false), nullptr)) {
        EXPECT_TRUE(image_->write_blocking({8 * kCluster},
                                           std::vector<std::byte>(4 * kCluster, std::byte{7})));
    }
    Mapping at(std::uint64_t cluster, std::uint64_t clusters = 1) {
        return *image_->extent_at_blocking({cluster * kCluster}, clusters * kCluster);
    }
    bool reads_zero(std::uint64_t offset, std::uint64_t bytes) {
        std::vector<std::byte> buffer(bytes, std::byte{1});
        EXPECT_TRUE(image_->read_blocking({offset}, buffer));
        return buffer == std::vector<std::byte>(bytes);
    }
    std::unique_ptr<Image> image_;
};

TEST_F(NoHoleTest, AllocatedClustersStayWhereTheyAre) {
    const Mapping before = at(8, 4);
    ASSERT_TRUE(image_->write_zeroes_blocking({8 * kCluster}, 4 * kCluster, WriteFlags::no_hole));
    EXPECT_EQ(at(8, 4), before);
    EXPECT_TRUE(reads_zero(8 * kCluster, 4 * kCluster));
    EXPECT_EQ(image_->stats().freed_clusters, 0U);
}

TEST_F(NoHoleTest, UnallocatedClustersBecomeAllocated) {
    ASSERT_TRUE(
        image_->write_zeroes_blocking({20 * kCluster + 512}, 3 * kCluster, WriteFlags::no_hole));
    EXPECT_EQ(at(20).kind, Mapping::Kind::data);
    EXPECT_EQ(at(23).kind, Mapping::Kind::data);
    EXPECT_TRUE(reads_zero(20 * kCluster, 4 * kCluster));
}

TEST_F(NoHoleTest, ZeroClustersBecomeAllocated) {
    ASSERT_TRUE(image_->write_zeroes_blocking({9 * kCluster}, kCluster));
    ASSERT_EQ(at(9).kind, Mapping::Kind::zero);
    ASSERT_TRUE(image_->write_zeroes_blocking({9 * kCluster}, kCluster, WriteFlags::no_hole));
    EXPECT_EQ(at(9).kind, Mapping::Kind::data);
    EXPECT_TRUE(reads_zero(9 * kCluster, kCluster));
}

TEST_F(NoHoleTest, FastZeroIsRefused) {
    const auto done = image_->write_zeroes_blocking({8 * kCluster}, kCluster,
                                                    WriteFlags::no_hole | WriteFlags::no_fallback);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::unsupported);
}

TEST_F(NoHoleTest, WithoutItWholeClustersAreFreed) {
    ASSERT_TRUE(image_->write_zeroes_blocking({8 * kCluster}, 4 * kCluster));
    EXPECT_EQ(at(8, 4).kind, Mapping::Kind::zero);
    EXPECT_EQ(image_->stats().freed_clusters, 4U);
}

}  // namespace
}  // namespace qed
