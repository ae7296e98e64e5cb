// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/cluster_pool.hpp"

#include <gtest/gtest.h>

namespace qed {
namespace {

ClusterPool::Cluster make_cluster() {
    return std::make_shared<const AlignedBuffer>(std::move(*AlignedBuffer::create(512, 64)));
}

TEST(ClusterPool, ReplacesTheClusterThatWasNotUsedLongest) {
    ClusterPool pool(512, 3 * 512);
    for (const std::uint64_t offset : {10U, 20U, 30U})
        pool.add(offset, make_cluster());
    EXPECT_NE(pool.find(10), nullptr);
    pool.add(40, make_cluster());
    EXPECT_EQ(pool.find(20), nullptr);
    EXPECT_NE(pool.find(10), nullptr);
    EXPECT_NE(pool.find(30), nullptr);
    EXPECT_NE(pool.find(40), nullptr);
}

TEST(ClusterPool, ReplacedClusterStaysForItsReader) {
    ClusterPool pool(512, 512);
    auto first = make_cluster();
    const auto* const memory = first.get();
    pool.add(1, std::move(first));
    const auto held = pool.find(1);
    pool.add(2, make_cluster());
    pool.add(3, make_cluster());
    EXPECT_EQ(pool.find(1), nullptr);
    EXPECT_EQ(held.get(), memory);
    EXPECT_EQ(held.use_count(), 1);
}

TEST(ClusterPool, SameClusterTwiceTakesOnePlace) {
    ClusterPool pool(512, 512);
    pool.add(1, make_cluster());
    pool.add(2, make_cluster());
    pool.add(2, make_cluster());
    EXPECT_NE(pool.find(1), nullptr);
}

}  // namespace
}  // namespace qed
