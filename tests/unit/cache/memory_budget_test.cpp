// SPDX-License-Identifier: Apache-2.0
// One budget in bytes: for tables larger than it, for many images, for images with a limit of
// their own, for unused images.
#include "cache/memory_budget.hpp"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

void look_up(TableImage& image, std::uint64_t slice) {
    const std::uint64_t cluster = slice * image.entries_in_slice();
    if (image.find(cluster).kind == Mapping::Kind::not_loaded) {
        ASSERT_TRUE(image.load(cluster).has_value());
    }
}

std::vector<TestTables> every_geometry() {
    std::vector<TestTables> all;
    for (std::uint64_t cluster = 4096; cluster <= std::uint64_t{64} << 20; cluster *= 2) {
        for (const std::uint64_t table : {1U, 2U, 4U, 8U, 16U})
            all.emplace_back(cluster, table);
    }
    return all;
}

TEST(MemoryBudgetTest, BudgetForLessThanOneSliceStillServesTwoTables) {
    MemoryBudget budget(1);
    EXPECT_EQ(budget.stats().limit_bytes, 64U << 10);
    // Slices of 64 KiB whose entries need 64 bits each.
    TableImage image(budget, 2, {.slice_bytes = 65536});
    const auto entry = [](std::uint64_t i) { return ((std::uint64_t{1} << 40) + i * 7) << 16; };
    const std::uint64_t per_table = image.shape.table_entries();
    for (std::uint64_t i = 0; i < image.entries_in_slice(); ++i) {
        image.put(i, entry(i));
        image.put(per_table + i, entry(per_table + i));
    }
    for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(image.load(1)->offset.value, entry(1));
        EXPECT_EQ(image.load(per_table + 1)->offset.value, entry(per_table + 1));
    }
    {
        const SliceRef one = image.pin(0);
        const SliceRef two = image.pin(per_table / image.entries_in_slice());
        EXPECT_EQ(one.entry(77), entry(77));
        EXPECT_EQ(two.entry(77), entry(per_table + 77));
        EXPECT_GT(budget.stats().bytes, budget.stats().limit_bytes);
        EXPECT_GE(budget.stats().grows, 1U);
    }
    EXPECT_LE(budget.stats().bytes, budget.stats().limit_bytes);
    EXPECT_EQ(budget.stats().grows, budget.stats().shrinks);
}

TEST(MemoryBudgetTest, GrowsByWhatIsInUseAndShrinksWithTheReleaseNotWithTheNextLoad) {
    MemoryBudget budget(64U << 10);
    TableImage image(budget, 4, {.readahead_slices = 1});
    std::vector<SliceRef> pins;
    for (std::uint64_t slice = 0; slice < 100; ++slice) {
        image.put_scattered(slice);
        pins.push_back(image.pin(slice));
    }
    EXPECT_EQ(budget.stats().pinned, 100U);
    EXPECT_GT(budget.stats().bytes, 100U * 2048);
    EXPECT_LT(budget.stats().bytes, 100U * 2048 + (64U << 10));
    const std::uint64_t misses = budget.stats().misses;
    pins.clear();
    EXPECT_LE(budget.stats().bytes, 64U << 10);
    EXPECT_EQ(budget.stats().misses, misses);
}

TEST(MemoryBudgetTest, ImagesShareOneBudgetAndTheOneInUseGetsTheMost) {
    MemoryBudget budget(256U << 10);
    TableImage idle(budget, 4, {.readahead_slices = 1});
    TableImage busy(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t slice = 0; slice < 256; ++slice) {
        idle.put_scattered(slice);
        busy.put_scattered(slice);
    }
    for (std::uint64_t slice = 0; slice < 100; ++slice)
        look_up(idle, slice);
    EXPECT_GT(idle.cache->stats().slices, 80U);
    for (int round = 0; round < 4; ++round) {
        for (std::uint64_t slice = 0; slice < 90; ++slice)
            look_up(busy, slice);
    }
    EXPECT_LE(budget.stats().bytes, budget.stats().limit_bytes);
    EXPECT_GE(busy.cache->stats().slices, 85U);
    EXPECT_LT(idle.cache->stats().slices, 40U);
}

TEST(MemoryBudgetTest, ImageWithALimitStaysInItAndTakesNothingFromOthers) {
    MemoryBudget budget(kMiB);
    TableImage other(budget, 4, {.readahead_slices = 1});
    TableImage limited(budget, 4, {.readahead_slices = 1, .limit_bytes = 128U << 10});
    for (std::uint64_t slice = 0; slice < 256; ++slice) {
        other.put_scattered(slice);
        limited.put_scattered(slice);
    }
    for (std::uint64_t slice = 0; slice < 200; ++slice)
        look_up(other, slice);
    const std::uint64_t others = other.cache->stats().slices;
    const std::uint64_t before = budget.stats().bytes;
    for (int round = 0; round < 3; ++round) {
        for (std::uint64_t slice = 0; slice < 256; ++slice)
            look_up(limited, slice);
    }
    EXPECT_EQ(other.cache->stats().slices, others);
    EXPECT_LE(budget.stats().bytes - before, (128U << 10) + 4096);
    EXPECT_GT(limited.cache->stats().slices, 50U);
    std::vector<SliceRef> pins;
    for (std::uint64_t slice = 0; slice < 100; ++slice)
        pins.push_back(limited.pin(slice));
    EXPECT_GT(budget.stats().bytes - before, 200U << 10);
    pins.clear();
    EXPECT_LE(budget.stats().bytes - before, (128U << 10) + 4096);
}

TEST(MemoryBudgetTest, UnderPressureImagesWithAndWithoutALimitGiveWayByUse) {
    MemoryBudget budget(512U << 10);
    TableImage idle(budget, 4, {.readahead_slices = 1, .limit_bytes = 300U << 10});
    TableImage hot(budget, 4, {.readahead_slices = 1, .limit_bytes = 64U << 10});
    TableImage other(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t slice = 0; slice < 256; ++slice) {
        idle.put_scattered(slice);
        hot.put_scattered(slice);
        other.put_scattered(slice);
    }
    for (std::uint64_t slice = 0; slice < 130; ++slice)
        look_up(idle, slice);
    std::mt19937 random(2);
    for (int i = 0; i < 5000; ++i) {
        look_up(other, random() % 256);
        look_up(hot, random() % 20);
    }
    EXPECT_LE(budget.stats().bytes, budget.stats().limit_bytes);
    EXPECT_LT(idle.cache->stats().slices, 30U);
    EXPECT_GE(hot.cache->stats().slices, 18U);
    EXPECT_GT(other.cache->stats().slices, 120U);
}

TEST(MemoryBudgetTest, SmallerLimitTakesEffectAtOnce) {
    MemoryBudget budget(kMiB);
    TableImage image(budget, 4, {.readahead_slices = 1});
    TableImage limited(budget, 4, {.readahead_slices = 1, .limit_bytes = kMiB});
    for (std::uint64_t slice = 0; slice < 100; ++slice) {
        image.put_scattered(slice);
        limited.put_scattered(slice);
        look_up(image, slice);
        look_up(limited, slice);
    }
    EXPECT_GT(budget.stats().bytes, 400U << 10);
    budget.set_limit(100U << 10);
    EXPECT_LE(budget.stats().bytes, 100U << 10);
    EXPECT_EQ(image.load(0)->offset.value, image.scattered(0, 0));
}

TEST(MemoryBudgetTest, UnusedSlicesAreReleasedWhileTheRestStays) {
    MemoryBudget budget(kMiB);
    TableImage image(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t slice = 0; slice < 100; ++slice) {
        image.put_scattered(slice);
        look_up(image, slice);
    }
    const SliceRef held = image.pin(99);
    for (int i = 0; i <= MappingReader::kMaxUses; ++i) {
        for (std::uint64_t slice = 0; slice < 10; ++slice)
            look_up(image, slice);
        budget.release_unused();
    }
    EXPECT_EQ(budget.stats().slices, 11U);
    const std::uint64_t misses = budget.stats().misses;
    for (std::uint64_t slice = 0; slice < 10; ++slice)
        look_up(image, slice);
    EXPECT_EQ(budget.stats().misses, misses);
    EXPECT_EQ(held.entry(3), image.scattered(99, 3));
}

TEST(MemoryBudgetTest, IdleImageKeepsNothingAfterAFewReleases) {
    MemoryBudget budget(kMiB);
    TableImage image(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t slice = 0; slice < 200; ++slice) {
        if (slice % 2 == 0) image.put_scattered(slice);  // the others need no memory of their own
        for (int i = 0; i < 10; ++i)
            look_up(image, slice);
    }
    for (int i = 0; i <= MappingReader::kMaxUses; ++i)
        budget.release_unused();
    EXPECT_EQ(budget.stats().slices, 0U);
    EXPECT_EQ(budget.stats().bytes, 0U);
}

TEST(MemoryBudgetTest, ThousandsOfSlicesAndTheirDirectoryCanGoAtOnce) {
    MemoryBudget budget(64 * kMiB);
    TableImage image(budget, 2000, {.slice_bytes = 512, .readahead_slices = 1},
                     TestTables(4096, 16));
    const std::uint64_t slices = 2000 * 128;
    for (std::uint64_t slice = 0; slice < slices; slice += 64) {
        image.put(slice * 64 + 7, 5 * kMiB);
        image.put(slice * 64 + 9, 7 * kMiB);
        look_up(image, slice);
    }
    ASSERT_EQ(budget.stats().slices, slices / 64);
    budget.set_limit(1);
    EXPECT_LE(budget.stats().bytes, budget.stats().limit_bytes);
    budget.trim();
    EXPECT_EQ(budget.stats().bytes, 0U);
}

// Each legal geometry, with an image as large as it can be: tables of up to 1 GiB, directories of
// up to four million places.
TEST(MemoryBudgetTest, EveryLegalGeometryStaysInsideTheBudget) {
    for (const TestTables& shape : every_geometry()) {
        for (const std::uint32_t slice_bytes : {512U, 4096U, 65536U}) {
            MemoryBudget budget(256U << 10);
            MemoryFile memory(std::uint64_t{1} << 62);
            const PlainDecoder decoder;
            auto cache = MappingCache::create(memory, budget, shape.shape(slice_bytes), decoder,
                                              {.readahead_slices = 8});
            ASSERT_TRUE(cache.has_value());
            EXPECT_EQ(budget.stats().bytes, 0U) << "opening costs nothing";
            std::mt19937_64 random(shape.cluster_bits());
            for (int i = 0; i < 100; ++i) {
                const GuestOffset at{random() % shape.max_image_bytes()};
                (*cache)->set_l1(shape.l1_index(at), std::uint64_t{1} << 30);
                ASSERT_TRUE(sync_wait((*cache)->load(at, 1)).has_value());
                ASSERT_LE(budget.stats().bytes, budget.stats().limit_bytes)
                    << shape.cluster_bytes() << " x " << shape.table_bytes();
            }
        }
    }
}

}  // namespace
}  // namespace qed::test
