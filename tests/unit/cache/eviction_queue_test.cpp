// SPDX-License-Identifier: Apache-2.0
// Entries of one byte in a queue for a hundred, so that bytes are entries and percent.
// What the queue evicts in any order of uses is checked against a plain model in
// tests/unit/cache_sim/policy_test.cpp.
#include "cache/eviction_queue.hpp"

#include <deque>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qed {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Item : Evictable {
    std::uint64_t number = 0;
    unsigned uses = 0;
    bool is_pinned = false;
};

struct Items {
    std::vector<std::uint64_t>& evicted;

    static Item& item(Evictable& entry) { return static_cast<Item&>(entry); }
    static bool may_evict(Evictable& entry) { return !item(entry).is_pinned; }
    static unsigned age(Evictable& entry) { return item(entry).uses == 0 ? 0 : item(entry).uses--; }
    static void reset(Evictable& entry) { item(entry).uses = 0; }
    static std::uint64_t key(Evictable& entry) {
        return (item(entry).number + 1) * 0x9e3779b97f4a7c15U;
    }
    void evict(Evictable& entry) { evicted.push_back(item(entry).number); }
};

class EvictionQueueTest : public testing::Test {
protected:
    static constexpr std::uint64_t kCapacity = 100;

    EvictionQueueTest() { queue_.set_capacity(kCapacity); }

    /// Looks `number` up as a cache does: a use if it is there, else an insertion that makes room.
    void look_up(std::uint64_t number) {
        Item& entry = item(number);
        if (entry.queue != Evictable::Queue::none) {
            ++entry.uses;
            return;
        }
        entry.uses = 0;
        shrink_to(kCapacity - entry.bytes);
        queue_.insert(entry, Items::key(entry));
    }
    void look_up(std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t number = first; number < last; ++number)
            look_up(number);
    }
    void unpin(std::uint64_t number) {
        item(number).is_pinned = false;
        queue_.unpin(item(number));
    }
    void shrink_to(std::uint64_t bytes) { queue_.shrink_to(bytes, access_); }

    Item& item(std::uint64_t number) {
        while (items_.size() <= number) {
            items_.emplace_back();
            items_.back().number = items_.size() - 1;
            items_.back().bytes = 1;
        }
        return items_[number];
    }

    std::deque<Item> items_;
    std::vector<std::uint64_t> evicted_;
    Items access_{evicted_};
    EvictionQueue queue_;
};

TEST_F(EvictionQueueTest, UnusedNewEntriesAreEvictedInOrder) {
    look_up(0, 103);
    EXPECT_THAT(evicted_, ElementsAre(0, 1, 2));
    EXPECT_EQ(queue_.bytes(), kCapacity);
    EXPECT_EQ(queue_.count(), 100u);
}

TEST_F(EvictionQueueTest, KeepsUsedEntriesWhileAScanPasses) {
    look_up(0, 50);
    look_up(0, 50);
    look_up(100, 1000);
    EXPECT_THAT(evicted_, testing::Each(testing::Ge(100u)));
    EXPECT_EQ(evicted_.size(), 850u);
}

TEST_F(EvictionQueueTest, NeverEvictsAnEntryInUseAndShrinksOnceItIsFree) {
    look_up(0, 10);
    for (std::uint64_t number = 0; number < 10; ++number)
        item(number).is_pinned = true;
    shrink_to(0);
    EXPECT_THAT(evicted_, IsEmpty());
    EXPECT_EQ(queue_.bytes(), 10u);

    unpin(4);
    unpin(7);
    shrink_to(9);
    EXPECT_EQ(evicted_.size(), 1u);
    shrink_to(0);
    EXPECT_THAT(evicted_, testing::UnorderedElementsAre(4, 7));
    EXPECT_EQ(queue_.bytes(), 8u);
}

TEST_F(EvictionQueueTest, EntriesInUseDoNotKeepNewEntriesOutOfTheSmallQueue) {
    // 30 of 100 entries are pinned for long: more than the small queue is meant to have.
    look_up(0, 30);
    for (std::uint64_t number = 0; number < 30; ++number)
        item(number).is_pinned = true;
    look_up(100, 170);
    look_up(100, 110);
    evicted_.clear();
    look_up(200, 220);
    EXPECT_THAT(evicted_, testing::Each(testing::AllOf(testing::Ge(110u), testing::Lt(170u))));
}

TEST_F(EvictionQueueTest, EvictsTheFirstEntryThatIsFreeHoweverManyAreInUse) {
    look_up(0, 90);
    look_up(0, 90);
    for (std::uint64_t number = 0; number < 90; ++number)
        item(number).is_pinned = true;
    look_up(100, 110);
    look_up(100, 110);
    look_up(110, 111);
    EXPECT_EQ(queue_.bytes(), kCapacity);
    EXPECT_THAT(evicted_, ElementsAre(testing::AllOf(testing::Ge(100u), testing::Lt(110u))));
}

TEST_F(EvictionQueueTest, EntryUnpinnedBeforeItsTurnKeepsItsPlace) {
    look_up(0, 3);
    item(0).is_pinned = true;
    unpin(0);
    shrink_to(2);
    EXPECT_THAT(evicted_, ElementsAre(0));
}

TEST_F(EvictionQueueTest, RemovesAnEntryThatWasHeld) {
    look_up(0, 3);
    item(0).is_pinned = true;
    shrink_to(0);
    queue_.remove(item(0));
    EXPECT_EQ(queue_.bytes(), 0u);
    EXPECT_EQ(queue_.count(), 0u);
    unpin(0);
    EXPECT_EQ(queue_.count(), 0u);
}

TEST_F(EvictionQueueTest, CountsBytesThroughResizeAndRemove) {
    look_up(0, 3);
    queue_.resize(item(1), 40);
    EXPECT_EQ(queue_.bytes(), 42u);
    queue_.resize(item(1), 20);
    EXPECT_EQ(queue_.bytes(), 22u);
    queue_.remove(item(1));
    queue_.remove(item(1));
    EXPECT_EQ(queue_.bytes(), 2u);
    EXPECT_EQ(queue_.count(), 2u);
    shrink_to(0);
    EXPECT_THAT(evicted_, ElementsAre(0, 2));
}

TEST_F(EvictionQueueTest, SmallQueueBeginsAtAFifth) {
    EXPECT_EQ(queue_.small_target_bytes(), 20u);
}

// The main queue has 80 entries now, the small one 20; 100 has just been evicted.
class AdaptationTest : public EvictionQueueTest {
protected:
    AdaptationTest() {
        look_up(0, 80);
        look_up(0, 80);
        look_up(100, 122);
    }
};

TEST_F(AdaptationTest, SmallQueueGrowsByWhatComesBackSoonAfterItLeft) {
    ASSERT_EQ(evicted_.back(), 100u);
    look_up(122, 165);
    look_up(100);
    EXPECT_EQ(queue_.small_target_bytes(), 21u);
    EXPECT_EQ(item(100).queue, Evictable::Queue::main);
}

TEST_F(AdaptationTest, SmallQueueIgnoresWhatComesBackLate) {
    look_up(122, 190);  // a small queue of 70 would have lost 100, too
    look_up(100);
    EXPECT_EQ(queue_.small_target_bytes(), 20u);
    EXPECT_EQ(item(100).queue, Evictable::Queue::main);
}

TEST_F(AdaptationTest, WhatComesBackVeryLateStartsOver) {
    look_up(122, 240);
    look_up(100);
    EXPECT_EQ(queue_.small_target_bytes(), 20u);
    EXPECT_EQ(item(100).queue, Evictable::Queue::small);
}

TEST_F(AdaptationTest, SmallQueueShrinksByWhatComesBackAfterItLeftTheMainQueue) {
    ASSERT_EQ(evicted_.front(), 0u);
    look_up(0);
    EXPECT_EQ(queue_.small_target_bytes(), 19u);
    EXPECT_EQ(item(0).queue, Evictable::Queue::small);
}

TEST_F(AdaptationTest, SmallQueueStaysBetweenATenthAndSevenTenths) {
    // A loop over fewer entries than fit next to the main queue, then one over more than fit.
    for (int round = 0; round < 100; ++round)
        look_up(200, 260);
    EXPECT_LE(queue_.small_target_bytes(), 70u);
    for (std::uint64_t start = 0; start < 10'000; start += 10) {
        look_up(start, start + 30);
        look_up(start, start + 30);
        EXPECT_GE(queue_.small_target_bytes(), 10u);
        EXPECT_LE(queue_.small_target_bytes(), 70u);
    }
}

TEST_F(AdaptationTest, NewCapacityForgetsWhatWasLearned) {
    look_up(122, 165);
    look_up(100);
    queue_.set_capacity(1000);
    EXPECT_EQ(queue_.small_target_bytes(), 200u);
    look_up(101);
    EXPECT_EQ(item(101).queue, Evictable::Queue::small);
    EXPECT_EQ(queue_.small_target_bytes(), 200u);
}

}  // namespace
}  // namespace qed
