// SPDX-License-Identifier: Apache-2.0
#include "workload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qed::cache_sim {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kCluster = 65536;

TEST(ClusterLookupsTest, CountsEveryClusterThatARequestTouches) {
    const Trace trace{"guest", {{0, 1}, {kCluster - 1, 2}, {3 * kCluster, 2 * kCluster}, {7, 0}}};
    EXPECT_THAT(*cluster_lookups(trace, kCluster, kMaxLookups), ElementsAre(0, 0, 1, 3, 4));
}

TEST(ClusterLookupsTest, StopsAtTheLimitEvenInsideARequest) {
    const Trace trace{"guest", {{0, 10 * kCluster}}};
    EXPECT_THAT(*cluster_lookups(trace, kCluster, 3), ElementsAre(0, 1, 2));
    EXPECT_THAT(*cluster_lookups({"guest", {}}, kCluster, 3), IsEmpty());
}

TEST(ClusterLookupsTest, RefusesMoreLookupsThanMemoryShouldHold) {
    const std::uint64_t clusters = std::uint64_t{1} << 18;
    const Trace trace{
        "guest", std::vector<Request>(kMaxLookups / clusters + 1, Request{0, clusters * 4096})};
    const auto lookups = cluster_lookups(trace, 4096, kMaxLookups + 1);
    ASSERT_FALSE(lookups.has_value());
    EXPECT_THAT(lookups.error(), ::testing::HasSubstr("use --lookups"));
}

TEST(WorkloadTest, GroupsNeighbouringClustersIntoEntries) {
    const std::vector<std::uint64_t> clusters{0, 511, 512, 1'000'000, 513, 1};
    const Workload workload = make_workload(clusters, {.raw_bytes = 4096, .record_bytes = 64});
    EXPECT_THAT(workload.lookups, ElementsAre(0, 0, 1, 2, 1, 0));
    EXPECT_THAT(workload.entry_bytes, ElementsAre(4160, 4160, 4160));
}

TEST(WorkloadTest, ChargesCompactEntriesForTheClustersThatAreTouched) {
    std::vector<std::uint64_t> clusters{0, 1, 1, 0};
    for (std::uint64_t cluster = 512; cluster < 1024; ++cluster)
        clusters.push_back(cluster);
    const Workload workload = make_workload(
        clusters, {.raw_bytes = 4096, .record_bytes = 10, .form = EntryForm::compact});
    // Eight words of bitmap with a 2-byte rank each, and 4 bytes for each touched cluster.
    EXPECT_THAT(workload.entry_bytes, ElementsAre(10 + 80 + 2 * 4, 10 + 80 + 512 * 4));
}

TEST(WorkloadTest, NeverChargesACompactEntryMoreThanARawOne) {
    std::vector<std::uint64_t> clusters;
    for (std::uint64_t cluster = 0; cluster < 8; ++cluster)
        clusters.push_back(cluster);
    const Workload workload =
        make_workload(clusters, {.raw_bytes = 32, .form = EntryForm::compact});
    EXPECT_THAT(workload.entry_bytes, ElementsAre(10 + 16, 10 + 16));
    EXPECT_THAT(make_workload(clusters, {.raw_bytes = 8, .form = EntryForm::compact}).entry_bytes,
                ::testing::Each(8));
}

}  // namespace
}  // namespace qed::cache_sim
