// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cli/load/bench_run.hpp"

namespace qed::cli {
namespace {

using testing::ElementsAre;

std::vector<std::uint64_t> first_offsets(const BenchSpec& spec, std::uint64_t disk_bytes,
                                         std::size_t count) {
    BenchOffsets offsets(spec, disk_bytes, 0, 1);
    std::vector<std::uint64_t> seen(count);
    std::ranges::generate(seen, [&] { return offsets.next(); });
    return seen;
}

TEST(BenchOffsetsTest, StepAndWrapAsQemuImgDoes) {
    BenchSpec spec;
    spec.bytes = 512;
    spec.step = 4000;
    EXPECT_THAT(first_offsets(spec, 10240, 5), ElementsAre(0, 4000, 8000, 1760, 5760));
    spec.offset = 1024;
    EXPECT_THAT(first_offsets(spec, 10240, 3), ElementsAre(1024, 5024, 9024));
}

TEST(BenchOffsetsTest, NeverLetARequestCrossTheEnd) {
    BenchSpec spec;
    spec.bytes = 4096;
    spec.step = 4096;
    EXPECT_THAT(first_offsets(spec, 10240, 4), ElementsAre(0, 4096, 0, 2048));
}

RC_GTEST_PROP(BenchOffsetsTest, ThreadsTogetherMakeTheRequestsOfOne, ()) {
    BenchSpec spec;
    const auto disk = *rc::gen::inRange<std::uint64_t>(4096, std::uint64_t{1} << 50U);
    spec.bytes = *rc::gen::inRange<std::uint64_t>(1, 4097);
    spec.step = *rc::gen::inRange<std::uint64_t>(1, std::uint64_t{1} << 62U);
    const auto threads = *rc::gen::inRange<std::uint64_t>(1, 9);
    constexpr std::size_t kEach = 20;
    std::vector<std::uint64_t> together;
    for (std::uint64_t i = 0; i < threads; ++i) {
        BenchOffsets offsets(spec, disk, i, threads);
        for (std::size_t k = 0; k < kEach; ++k)
            together.push_back(offsets.next());
    }
    auto alone = first_offsets(spec, disk, kEach * threads);
    std::ranges::sort(together);
    std::ranges::sort(alone);
    RC_ASSERT(together == alone);
}

RC_GTEST_PROP(BenchOffsetsTest, RandomOnesAreWholeRequestsInsideTheDisk, ()) {
    BenchSpec spec;
    spec.random = true;
    spec.bytes = *rc::gen::inRange<std::uint64_t>(1, 1U << 20U);
    spec.seed = *rc::gen::arbitrary<std::uint64_t>();
    const auto disk = spec.bytes + *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 40U);
    for (const std::uint64_t at : first_offsets(spec, disk, 50)) {
        RC_ASSERT(at % spec.bytes == 0);
        RC_ASSERT(at + spec.bytes <= disk);
    }
}

}  // namespace
}  // namespace qed::cli
