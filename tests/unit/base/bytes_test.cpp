// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/endian.hpp"
#include "base/math.hpp"
#include "support/failing_new.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

TEST(EndianTest, StoresTheLowByteFirst) {
    std::array<std::byte, 8> bytes{};
    store_le<std::uint32_t>(bytes.data(), 0x11223344);
    EXPECT_EQ(bytes[0], std::byte{0x44});
    EXPECT_EQ(bytes[3], std::byte{0x11});
    EXPECT_EQ(bytes[4], std::byte{0});
}

RC_GTEST_PROP(EndianTest, LoadsWhatWasStoredAtAnyAddress, (std::uint64_t value)) {
    std::array<std::byte, 24> bytes{};
    const auto at = *rc::gen::inRange<std::size_t>(0, 16);
    store_le(bytes.data() + at, value);
    RC_ASSERT(load_le<std::uint64_t>(bytes.data() + at) == value);
    RC_ASSERT(load_le<std::uint16_t>(bytes.data() + at) == static_cast<std::uint16_t>(value));
}

TEST(EndianTest, TablesAreIndexedByEntry) {
    std::vector<std::byte> table(64);
    store_le64(table, 3, 0x0102030405060708);
    EXPECT_EQ(load_le64(table, 3), 0x0102030405060708U);
    EXPECT_EQ(table[24], std::byte{8});
    EXPECT_EQ(load_le64(table, 2), 0U);
}

TEST(MathTest, SumsAndProductsThatDoNotFitAreNothing) {
    EXPECT_EQ(checked_add(kMax - 1, 1), kMax);
    EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
    EXPECT_EQ(checked_multiply(std::uint64_t{1} << 32, (std::uint64_t{1} << 32) - 1),
              kMax - (std::uint64_t{1} << 32) + 1);
    EXPECT_EQ(checked_multiply(std::uint64_t{1} << 32, std::uint64_t{1} << 32), std::nullopt);
}

TEST(MathTest, RoundsToMultiples) {
    EXPECT_EQ(round_down(4097, 4096), 4096U);
    EXPECT_EQ(round_up(4096, 4096), 4096U);
    EXPECT_EQ(round_up(4097, 4096), 8192U);
    EXPECT_EQ(round_up(0, 512), 0U);
    EXPECT_EQ(checked_round_up(kMax - 511, 512), kMax - 511);
    EXPECT_EQ(checked_round_up(kMax - 510, 512), std::nullopt);
    EXPECT_EQ(divide_up(0, 10), 0U);
    EXPECT_EQ(divide_up(10, 10), 1U);
    EXPECT_EQ(divide_up(11, 10), 2U);
    EXPECT_EQ(divide_up(kMax, 2), kMax / 2 + 1);
}

TEST(MathTest, KnowsPowersOfTwo) {
    EXPECT_TRUE(is_power_of_two(1));
    EXPECT_TRUE(is_power_of_two(std::uint64_t{1} << 63));
    EXPECT_FALSE(is_power_of_two(0));
    EXPECT_FALSE(is_power_of_two(6));
}

TEST(AlignedBufferTest, IsAlignedAndWritable) {
    for (const std::size_t alignment : {1U, 512U, 4096U, 65536U}) {
        Result<AlignedBuffer> buffer = AlignedBuffer::create(3 * alignment, alignment);
        ASSERT_TRUE(buffer);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % alignment, 0U);
        ASSERT_EQ(buffer->span().size(), 3 * alignment);
        std::ranges::fill(buffer->span(), std::byte{7});
        const AlignedBuffer moved = std::move(*buffer);
        EXPECT_EQ(moved.span().back(), std::byte{7});
    }
}

TEST(AlignedBufferTest, IsAnErrorWhenThereIsNoMemory) {
    const test::FailingNew failing(0);
    const Result<AlignedBuffer> buffer = AlignedBuffer::create(8192, 4096);
    ASSERT_FALSE(buffer);
    EXPECT_EQ(buffer.error().code(), Errc::out_of_memory);
}

TEST(AssertDeathTest, NamesTheConditionAndThePlace) {
    EXPECT_DEATH(QED_ASSERT(1 + 1 == 3), "bytes_test.cpp:[0-9]+: .*assertion failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace qed
