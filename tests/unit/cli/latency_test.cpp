// SPDX-License-Identifier: Apache-2.0
#include "cli/load/latency.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed::cli {
namespace {

TEST(LatencyHistogramTest, IsEmptyAtFirst) {
    const LatencyHistogram histogram;
    EXPECT_EQ(histogram.count(), 0U);
    EXPECT_EQ(histogram.percentile(0.99), 0U);
    EXPECT_EQ(histogram.mean(), 0.0);
}

TEST(LatencyHistogramTest, TakesTheLongestDuration) {
    LatencyHistogram histogram;
    histogram.add(~std::uint64_t{0});
    EXPECT_EQ(histogram.max(), ~std::uint64_t{0});
    EXPECT_EQ(histogram.percentile(0.5), ~std::uint64_t{0});
}

RC_GTEST_PROP(LatencyHistogramTest, PercentilesAreWithinAThirtySecondOfTheTrueOnes,
              (const std::vector<std::uint32_t>& raw)) {
    RC_PRE(!raw.empty());
    std::vector<std::uint32_t> values = raw;
    LatencyHistogram first;
    LatencyHistogram second;
    for (std::size_t i = 0; i < values.size(); ++i)
        (i % 2 == 0 ? first : second).add(values[i]);
    first.merge(second);
    std::ranges::sort(values);
    for (const double fraction : {0.01, 0.5, 0.9, 0.999, 1.0}) {
        const auto rank =
            static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(values.size())));
        const std::uint64_t exact = values[std::max<std::size_t>(rank, 1) - 1];
        const std::uint64_t seen = first.percentile(fraction);
        RC_ASSERT(seen >= exact);
        RC_ASSERT(seen <= exact + exact / 32 + 1);
    }
    RC_ASSERT(first.count() == values.size());
    RC_ASSERT(first.max() == values.back());
}

}  // namespace
}  // namespace qed::cli
