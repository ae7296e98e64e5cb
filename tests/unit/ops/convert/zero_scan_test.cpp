// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/zero_scan.hpp"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed {
namespace {

using testing::ElementsAre;

TEST(ZeroScanTest, NothingIsAllZero) {
    EXPECT_TRUE(is_all_zero({}));
}

TEST(ZeroScanTest, FindsOneBitAnywhereAtAnyAddress) {
    std::vector<std::byte> bytes(300);
    for (std::size_t begin = 0; begin < 40; ++begin) {
        for (const std::size_t length : {1U, 15U, 16U, 17U, 31U, 64U, 255U}) {
            const auto part = std::span<std::byte>(bytes).subspan(begin, length);
            ASSERT_TRUE(is_all_zero(part));
            for (std::byte& one : part) {
                one = std::byte{0x80};
                ASSERT_FALSE(is_all_zero(part));
                one = std::byte{0};
            }
        }
    }
}

TEST(ZeroScanTest, DoesNotReadPastTheEnd) {
    std::vector<std::byte> bytes(64);
    bytes[0] = bytes[41] = std::byte{1};
    EXPECT_TRUE(is_all_zero(std::span<const std::byte>(bytes).subspan(1, 40)));
}

std::vector<ZeroRun> runs_of(const std::vector<std::byte>& bytes, std::size_t unit,
                             std::size_t least) {
    std::vector<ZeroRun> runs;
    split_zero_runs(bytes, unit, least, runs);
    return runs;
}

TEST(ZeroScanTest, WritesShortZeroRunsAsData) {
    std::vector<std::byte> bytes(64);
    bytes[0] = bytes[24] = std::byte{1};
    EXPECT_THAT(runs_of(bytes, 8, 8), ElementsAre(ZeroRun{0, 8, false}, ZeroRun{8, 16, true},
                                                  ZeroRun{24, 8, false}, ZeroRun{32, 32, true}));
    EXPECT_THAT(runs_of(bytes, 8, 32), ElementsAre(ZeroRun{0, 32, false}, ZeroRun{32, 32, true}));
    EXPECT_THAT(runs_of(bytes, 8, 64), ElementsAre(ZeroRun{0, 64, false}));
}

TEST(ZeroScanTest, KeepsAPieceThatIsAllZeroHoweverShort) {
    EXPECT_THAT(runs_of(std::vector<std::byte>(512), 4096, 65536),
                ElementsAre(ZeroRun{0, 512, true}));
}

RC_GTEST_PROP(ZeroScanTest, RunsCoverEverythingInOrderAndOnlyZeroesAreCalledZero, ()) {
    const auto unit = *rc::gen::element<std::size_t>(1, 3, 8, 64);
    const auto least = *rc::gen::inRange<std::size_t>(0, 100);
    const auto raw = *rc::gen::container<std::vector<std::uint8_t>>(
        rc::gen::weightedElement<std::uint8_t>({{20, 0}, {1, 7}}));
    std::vector<std::byte> bytes;
    for (const std::uint8_t one : raw)
        bytes.push_back(std::byte{one});
    std::size_t at = 0;
    bool last = false;
    const auto runs = runs_of(bytes, unit, least);
    for (const ZeroRun& run : runs) {
        RC_ASSERT(run.begin == at);
        RC_ASSERT(run.length > 0U);
        RC_ASSERT(at == 0 || run.zero != last);
        if (run.zero) {
            RC_ASSERT(is_all_zero(std::span<const std::byte>(bytes).subspan(at, run.length)));
            RC_ASSERT(run.length >= least || runs.size() == 1);
        }
        last = run.zero;
        at += run.length;
    }
    RC_ASSERT(at == bytes.size());
}

}  // namespace
}  // namespace qed
