// SPDX-License-Identifier: Apache-2.0
#include "qed/geometry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "support/geometries.hpp"

namespace qed {
namespace {

using testing::HasSubstr;
__extension__ using wide = unsigned __int128;

constexpr std::uint64_t kLargestImage = (std::uint64_t{1} << 63) - 512;

TEST(GeometryTest, AcceptsExactlyThePowersOfTwoInRange) {
    for (unsigned bit = 0; bit < 32; ++bit) {
        const std::uint32_t size = std::uint32_t{1} << bit;
        EXPECT_EQ(Geometry::make(size, 4).has_value(), bit >= 12 && bit <= 26) << size;
        EXPECT_EQ(Geometry::make(65536, size).has_value(), size <= 16) << size;
    }
    for (const std::uint32_t size : {0U, 3U, 4095U, 4097U, 65535U, 65537U, 0x4000001U, ~0U}) {
        EXPECT_FALSE(Geometry::make(size, 4).has_value()) << size;
        EXPECT_FALSE(Geometry::make(65536, size).has_value()) << size;
    }
}

TEST(GeometryTest, RefusalSaysFieldValueAndRange) {
    const auto cluster = Geometry::make(2048, 4);
    ASSERT_FALSE(cluster.has_value());
    EXPECT_EQ(cluster.error().code(), Errc::corrupt_metadata);
    EXPECT_THAT(cluster.error().message(), HasSubstr("cluster_size is 2048"));
    EXPECT_THAT(cluster.error().message(), HasSubstr("4096 to 67108864"));

    const auto table = Geometry::make(65536, 32);
    ASSERT_FALSE(table.has_value());
    EXPECT_THAT(table.error().message(), HasSubstr("table_size is 32"));
    EXPECT_THAT(table.error().message(), HasSubstr("1 to 16"));
}

TEST(GeometryTest, DefaultGeometryMaps64TiBWithTablesOf256KiB) {
    const Geometry geometry = test::geometry(kDefaultClusterBytes, kDefaultTableClusters);
    EXPECT_EQ(geometry.table_bytes(), 256U << 10);
    EXPECT_EQ(geometry.table_entries(), 32768U);
    EXPECT_EQ(geometry.table_span_bytes(), std::uint64_t{2} << 30);
    EXPECT_EQ(geometry.max_image_bytes(), std::uint64_t{64} << 40);
}

TEST(GeometryTest, LargestImageIsWhatTheTablesMapUpToTheLargestFileOffset) {
    for (const Geometry& geometry : test::every_geometry()) {
        const wide mapped =
            wide{geometry.table_entries()} * geometry.table_entries() * geometry.cluster_bytes();
        const wide expected = mapped > kLargestImage ? wide{kLargestImage} : mapped;
        EXPECT_TRUE(geometry.max_image_bytes() == expected)
            << geometry.cluster_bytes() << " x " << geometry.table_clusters();
        EXPECT_EQ(geometry.max_image_bytes() % 512, 0U);
    }
}

TEST(GeometryTest, EveryByteOfTheLargestImageHasItsPlaceInTheTables) {
    for (const Geometry& geometry : test::every_geometry()) {
        const GuestOffset last{geometry.max_image_bytes() - 1};
        EXPECT_LT(geometry.l1_index(last), geometry.table_entries());
        EXPECT_LT(geometry.l2_index(last), geometry.table_entries());
        EXPECT_EQ(geometry.l1_entries_used(geometry.max_image_bytes()),
                  geometry.l1_index(last) + 1);
    }
}

RC_GTEST_PROP(GeometryTest, SplittingAGuestOffsetLosesNothing, (std::uint64_t random)) {
    const Geometry geometry = *rc::gen::elementOf(test::every_geometry());
    const GuestOffset at{random % geometry.max_image_bytes()};
    const wide together =
        ((wide{geometry.l1_index(at)} << geometry.entry_bits()) + geometry.l2_index(at)) *
            geometry.cluster_bytes() +
        geometry.in_cluster(at);
    RC_ASSERT(together == at.value);
    RC_ASSERT(geometry.cluster_start(at) + geometry.in_cluster(at) == at);
    RC_ASSERT(geometry.cluster_index(at) == at.value / geometry.cluster_bytes());
}

RC_GTEST_PROP(GeometryTest, CountsRoundUpByWholeClusters, (std::uint64_t random)) {
    const Geometry geometry = *rc::gen::elementOf(test::every_geometry());
    const std::uint64_t bytes = random % (kLargestImage + 1);
    const wide clusters = geometry.clusters_for(bytes);
    RC_ASSERT(clusters * geometry.cluster_bytes() >= bytes);
    RC_ASSERT(bytes == 0 || (clusters - 1) * geometry.cluster_bytes() < bytes);
    RC_ASSERT(geometry.round_up_cluster(bytes) == clusters * geometry.cluster_bytes());
}

TEST(GeometryTest, CountOfClustersDoesNotDriftOnLargeImages) {
    // Dividing by cluster_size - 1 gives one cluster too many for this size and above.
    const Geometry geometry = test::geometry(65536, 4);
    const std::uint64_t bytes = 65535ULL * 65536;
    EXPECT_EQ(geometry.clusters_for(bytes), 65535U);
    EXPECT_EQ(geometry.clusters_for(bytes + 1), 65536U);
    EXPECT_EQ(geometry.clusters_for(~std::uint64_t{0}), std::uint64_t{1} << 48);
}

}  // namespace
}  // namespace qed
