// SPDX-License-Identifier: Apache-2.0
#include "generators.hpp"

#include <map>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed::cache_sim {
namespace {

constexpr std::uint64_t kCluster = 65536;
constexpr std::uint64_t kTableSpan = std::uint64_t{2} << 30;

RC_GTEST_PROP(GeneratorTest, StaysInsideTheImageAndHasItsLength, ()) {
    GeneratorOptions options;
    options.cluster_bytes = std::uint64_t{1} << *rc::gen::inRange(12, 27);
    options.table_bytes = options.cluster_bytes << *rc::gen::inRange(0, 5);
    options.image_bytes = options.cluster_bytes * *rc::gen::inRange<std::uint64_t>(1, 100'000);
    options.lookups = *rc::gen::inRange<std::uint64_t>(1, 500);
    options.seed = *rc::gen::arbitrary<std::uint64_t>();
    const Generator& generator =
        all_generators()[*rc::gen::inRange<std::size_t>(0, all_generators().size())];
    const Trace trace = generator.make(options);
    RC_ASSERT(trace.name == generator.name);
    RC_ASSERT(trace.requests.size() == options.lookups);
    for (const Request& request : trace.requests) {
        RC_ASSERT(request.length == options.cluster_bytes);
        RC_ASSERT(request.offset + request.length <= options.image_bytes);
    }
}

TEST(GeneratorTest, TheSeedDecidesTheTrace) {
    const std::set<std::string_view> fixed{"drift", "drift-fast", "loop"};
    for (const Generator& generator : all_generators()) {
        const auto with_seed = [&](std::uint64_t seed) {
            return generator.make({.lookups = 2000, .seed = seed}).requests;
        };
        EXPECT_EQ(with_seed(5), with_seed(5)) << generator.name;
        if (!fixed.contains(generator.name)) {
            EXPECT_NE(with_seed(5), with_seed(6)) << generator.name;
        }
    }
}

TEST(GeneratorTest, ZipfHasAFewVeryPopularClusters) {
    std::map<std::uint64_t, int> uses;
    for (const Request& request : find_generator("zipf")->make({.lookups = 100'000}).requests) {
        ++uses[request.offset];
    }
    // The sum of rank^-0.99 over a million ranks is 15.4, so the first has 6.5 % of the lookups.
    std::multiset<int, std::greater<>> counts;
    for (const auto& [offset, count] : uses)
        counts.insert(count);
    EXPECT_NEAR(*counts.begin(), 6'500, 500);
    EXPECT_GT(counts.size(), 20'000u);
}

TEST(GeneratorTest, DriftVisitsAllTablesInTurnAndMovesOnByOneCluster) {
    const Trace trace = find_generator("drift")->make({.lookups = 1500});
    EXPECT_EQ(trace.requests[0].offset, 0u);
    EXPECT_EQ(trace.requests[1].offset, kTableSpan);
    EXPECT_EQ(trace.requests[511].offset, 511 * kTableSpan);
    EXPECT_EQ(trace.requests[512].offset, kCluster);
    EXPECT_EQ(trace.requests[1024].offset, 2 * kCluster);
}

TEST(GeneratorTest, EverySecondLookupOfAScanMixIsSequential) {
    const Trace trace = find_generator("scan-mix")->make({.lookups = 1000});
    for (std::uint64_t i = 0; i < 500; ++i) {
        EXPECT_EQ(trace.requests[2 * i + 1].offset, i * kCluster);
    }
}

TEST(GeneratorTest, BootReadsShortRunsAndSomeOfThemAgain) {
    const Trace trace = find_generator("boot")->make({.lookups = 50'000});
    std::set<std::uint64_t> seen;
    std::size_t sequential = 0;
    std::size_t again = 0;
    std::uint64_t last = 0;
    for (const Request& request : trace.requests) {
        sequential += request.offset == last + kCluster;
        again += !seen.insert(request.offset).second;
        last = request.offset;
    }
    EXPECT_GT(sequential, 25'000u);
    EXPECT_GT(again, 12'000u);
    EXPECT_LT(again, 25'000u);
}

TEST(GeneratorListTest, FindsEveryGeneratorByItsNameAndNothingElse) {
    for (const Generator& generator : all_generators()) {
        EXPECT_EQ(find_generator(generator.name), &generator);
    }
    EXPECT_EQ(find_generator("all"), nullptr);
}

}  // namespace
}  // namespace qed::cache_sim
