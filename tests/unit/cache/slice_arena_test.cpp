// SPDX-License-Identifier: Apache-2.0
// The memory of slice payloads, against a model that remembers what each block holds.
#include "cache/slice_arena.hpp"

#include <cstring>
#include <iterator>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace qed {
namespace {

std::byte pattern(const void* block, std::size_t i) {
    return static_cast<std::byte>(((reinterpret_cast<std::uintptr_t>(block) >> 4) * 31 + i) & 0xff);
}

void fill(void* block, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
        static_cast<std::byte*>(block)[i] = pattern(block, i);
}

bool is_filled(const void* block, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
        if (static_cast<const std::byte*>(block)[i] != pattern(block, i)) return false;
    }
    return true;
}

class ArenaModel {
public:
    void allocate(std::size_t bytes) {
        void* block = arena.allocate(bytes);
        ASSERT_NE(block, nullptr);
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(block) % 16, 0U);
        const std::size_t room = SliceArena::block_bytes(bytes);
        ASSERT_GE(room, bytes);
        const auto next = blocks.lower_bound(static_cast<std::byte*>(block));
        if (next != blocks.end()) {
            ASSERT_LE(static_cast<std::byte*>(block) + room, next->first);
        }
        if (next != blocks.begin()) {
            const auto before = std::prev(next);
            ASSERT_LE(before->first + SliceArena::block_bytes(before->second), block);
        }
        fill(block, bytes);
        blocks.emplace(static_cast<std::byte*>(block), bytes);
        live_bytes += room;
    }
    void free_one(std::mt19937_64& random) {
        auto victim = blocks.begin();
        std::advance(victim, static_cast<std::ptrdiff_t>(random() % blocks.size()));
        ASSERT_TRUE(is_filled(victim->first, victim->second)) << "another block overwrote it";
        live_bytes -= SliceArena::block_bytes(victim->second);
        arena.free(victim->first);
        blocks.erase(victim);
    }

    SliceArena arena;
    std::map<std::byte*, std::size_t> blocks;
    std::size_t live_bytes = 0;
};

TEST(SliceArenaTest, BlocksOfAllSizesKeepTheirContentAndNeverOverlap) {
    ArenaModel model;
    std::mt19937_64 random(1);
    for (int i = 0; i < 20'000; ++i) {
        const bool grows = i % 4000 < 2500;
        if (model.blocks.empty() || random() % 10 < (grows ? 7 : 3)) {
            const std::size_t most = random() % 20 == 0 ? SliceArena::kMaxBytes : 1024;
            model.allocate(random() % most + 1);
        } else {
            model.free_one(random);
        }
        if (testing::Test::HasFatalFailure()) return;
        ASSERT_GE(model.arena.resident_bytes(), model.live_bytes);
    }
    while (!model.blocks.empty())
        model.free_one(random);
    model.arena.trim();
    EXPECT_EQ(model.arena.resident_bytes(), 0U);
}

TEST(SliceArenaTest, BlockIsAtMostAQuarterOr15BytesLargerThanAskedFor) {
    for (std::size_t bytes = 1; bytes <= SliceArena::kMaxBytes; bytes += bytes < 4096 ? 1 : 97) {
        const std::size_t room = SliceArena::block_bytes(bytes);
        ASSERT_LE(room - bytes, std::max<std::size_t>(15, bytes / 4)) << bytes;
        ASSERT_EQ(SliceArena::block_bytes(room), room);
    }
    EXPECT_EQ(SliceArena::block_bytes(SliceArena::kMaxBytes), SliceArena::kMaxBytes);
}

TEST(SliceArenaTest, FreedMemoryCanStillBeRead) {
    SliceArena arena;
    std::vector<void*> blocks;
    for (int i = 0; i < 1000; ++i) {
        blocks.push_back(arena.allocate(4096));
        fill(blocks.back(), 4096);
    }
    for (void* block : blocks)
        arena.free(block);
    arena.trim();
    EXPECT_EQ(arena.resident_bytes(), 0U);
    unsigned zeroes = 0;
    for (const void* block : blocks)
        if (*static_cast<const volatile unsigned char*>(block) == 0) ++zeroes;
    EXPECT_EQ(zeroes, blocks.size()) << "given back to the system, but mapped";
}

TEST(SliceArenaTest, MemoryOfEmptySlabsIsUsedForOtherSizes) {
    SliceArena arena;
    std::vector<void*> blocks;
    for (std::size_t round = 0; round < 20; ++round) {
        const std::size_t bytes = 100 + round * 150;
        for (std::size_t used = 0; used + bytes < 1'000'000; used += bytes)
            blocks.push_back(arena.allocate(bytes));
        for (void* block : blocks)
            arena.free(block);
        blocks.clear();
    }
    EXPECT_LT(arena.resident_bytes(), 2'000'000U);
}

}  // namespace
}  // namespace qed
