// SPDX-License-Identifier: Apache-2.0
// The mapping cache and its eviction queue together: nothing that is free may stay beyond the
// limit.
#include <random>

#include <gtest/gtest.h>

#include "cache/memory_budget.hpp"
#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kTables = 64;
constexpr std::uint64_t kSlicesPerTable = 64;

class MappingCacheEvictionTest : public testing::Test {
protected:
    void scatter_every_slice() {
        for (std::uint64_t slice = 0; slice < slices_; ++slice)
            image_.put_scattered(slice);
    }
    std::uint64_t bytes() const { return budget_.stats().bytes; }
    std::uint64_t limit() const { return budget_.stats().limit_bytes; }

    /// Looks up like an image: a hit if it can, else a load.
    void look_up(std::uint64_t slice) {
        const std::uint64_t cluster = slice * image_.entries_in_slice();
        if (image_.find(cluster).kind == Mapping::Kind::not_loaded) {
            ASSERT_TRUE(image_.load(cluster).has_value());
        }
    }

    MemoryBudget budget_{1U << 20};
    TableImage image_{budget_, kTables, {.readahead_slices = 1}};
    std::uint64_t slices_ = kTables * kSlicesPerTable;
    /// What stays of a cache without slices.
    static constexpr std::uint64_t kEmptyBytes = 0;
    std::mt19937_64 random_{7};
};

TEST_F(MappingCacheEvictionTest, StaysInsideTheLimitAndGivesEverythingBackWhenTrimmed) {
    scatter_every_slice();
    for (int i = 0; i < 20'000; ++i) {
        // Half of the lookups go to an eighth of the slices.
        look_up(random_() % (i % 2 == 0 ? slices_ / 8 : slices_));
        ASSERT_LE(bytes(), limit()) << "after lookup " << i;
    }
    EXPECT_GT(budget_.stats().evictions, 1000u);
    EXPECT_GT(bytes(), limit() / 2);
    budget_.trim();
    EXPECT_EQ(budget_.stats().slices, 0u);
    EXPECT_EQ(bytes(), kEmptyBytes);
}

TEST_F(MappingCacheEvictionTest, GrowsForPinsAndShrinksAsTheyAreReleased) {
    scatter_every_slice();
    std::vector<SliceRef> pins;
    for (std::uint64_t slice = 0; slice < 1000; ++slice)
        pins.push_back(image_.pin(slice));
    EXPECT_GT(bytes(), 2 * limit());
    // While all of them are held, what others load is evicted as soon as it is free.
    const std::uint64_t held = bytes();
    for (std::uint64_t slice = 2000; slice < 2200; ++slice)
        look_up(slice);
    EXPECT_LE(bytes(), held + (64U << 10));

    std::shuffle(pins.begin(), pins.end(), random_);
    while (!pins.empty())
        pins.pop_back();
    EXPECT_LE(bytes(), limit());
    EXPECT_EQ(budget_.stats().pinned, 0u);
    budget_.trim();
    EXPECT_EQ(bytes(), kEmptyBytes);
}

TEST_F(MappingCacheEvictionTest, EvictsDirectoryBlocksWhoseSlicesNeedNoMemory) {
    // Nothing is allocated in any table: the leaves are all there is to evict.
    budget_.set_limit(64U << 10);
    for (int i = 0; i < 20'000; ++i)
        look_up(random_() % slices_);
    EXPECT_LE(bytes(), std::max(limit(), kEmptyBytes + 4096));
    EXPECT_GT(budget_.stats().misses, kTables);
    budget_.trim();
    EXPECT_EQ(bytes(), kEmptyBytes);
}

TEST_F(MappingCacheEvictionTest, HitsOfAHotSetSurviveAScanOfTheWholeImage) {
    scatter_every_slice();
    constexpr std::uint64_t kHot = 100;
    for (int round = 0; round < 3; ++round) {
        for (std::uint64_t slice = 0; slice < kHot; ++slice)
            look_up(slice);
    }
    const std::uint64_t before = budget_.stats().misses;
    for (std::uint64_t slice = kHot; slice < slices_; ++slice) {
        look_up(slice);
        look_up(random_() % kHot);
    }
    EXPECT_LE(budget_.stats().misses - before, slices_ - kHot + kHot / 4);
}

}  // namespace
}  // namespace qed::test
