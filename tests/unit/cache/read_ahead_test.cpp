// SPDX-License-Identifier: Apache-2.0
// How much a miss reads. What the loader makes of it: slice_loader_test.cpp.
#include "cache/read_ahead.hpp"

#include <gtest/gtest.h>

namespace qed {
namespace {

TEST(ReadAheadPolicyTest, MissesInOrderReadTwiceAsMuchUpToTheMaximum) {
    ReadAhead ahead(8);
    std::uint64_t slice = 0;
    for (const std::uint32_t expected : {1U, 2U, 4U, 8U, 8U}) {
        EXPECT_EQ(ahead.slices_for(slice, 100), expected);
        slice += expected;
    }
}

TEST(ReadAheadPolicyTest, RandomMissesReadOneSlice) {
    ReadAhead ahead(8);
    for (const std::uint64_t slice : {40U, 3U, 30U, 9U, 74U, 50U})
        EXPECT_EQ(ahead.slices_for(slice, 100), 1U);
}

TEST(ReadAheadPolicyTest, FourReadersInOrderAreToldApartAndTheFifthReplacesTheOldest) {
    ReadAhead ahead(8);
    for (const std::uint64_t reader : {0U, 1000U, 2000U, 3000U})
        EXPECT_EQ(ahead.slices_for(reader, 100), 1U);
    for (const std::uint64_t reader : {0U, 1000U, 2000U, 3000U})
        EXPECT_EQ(ahead.slices_for(reader + 1, 100), 2U);
    EXPECT_EQ(ahead.slices_for(4000, 100), 1U);
    EXPECT_EQ(ahead.slices_for(3, 100), 1U) << "forgotten";
    EXPECT_EQ(ahead.slices_for(2003, 100), 4U);
}

TEST(ReadAheadPolicyTest, LimitCutsTheReadAndTheNextMissGoesOnFromThere) {
    ReadAhead ahead(8);
    EXPECT_EQ(ahead.slices_for(0, 100), 1U);
    EXPECT_EQ(ahead.slices_for(1, 100), 2U);
    EXPECT_EQ(ahead.slices_for(3, 1), 1U);
    EXPECT_EQ(ahead.slices_for(4, 100), 8U);
}

TEST(ReadAheadPolicyTest, NoReadAheadIsOneSliceAtATime) {
    ReadAhead ahead(0);
    EXPECT_EQ(ahead.slices_for(0, 100), 1U);
    EXPECT_EQ(ahead.slices_for(1, 100), 1U);
}

}  // namespace
}  // namespace qed
