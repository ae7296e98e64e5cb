// SPDX-License-Identifier: Apache-2.0
// The budget and its seam, EvictionClient, without any cache: entries are numbers of bytes. What
// the budget does for caches is in memory_budget_test.cpp.
#include <array>
#include <deque>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cache/memory_budget.hpp"

namespace qed::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Item : BudgetEntry {
    std::uint64_t number = 0;
    unsigned uses = 0;
    bool is_pinned = false;
};

class ItemClient final : public EvictionClient {
public:
    ItemClient(MemoryBudget& budget, std::uint64_t limit_bytes) : budget_(budget) {
        const BudgetLock lock(budget_);
        budget_.add(*this, limit_bytes);
    }
    ~ItemClient() {
        const BudgetLock lock(budget_);
        for (Item& item : items_)
            budget_.remove(item);
        budget_.remove(*this);
    }
    Item& insert(std::uint32_t bytes, bool is_pinned = false) {
        const BudgetLock lock(budget_);
        Item& item = items_.emplace_back();
        item.bytes = bytes;
        item.group = &group_;
        item.number = items_.size();
        item.is_pinned = is_pinned;
        budget_.insert(item);
        return item;
    }
    void unpin(Item& item) {
        const BudgetLock lock(budget_);
        item.is_pinned = false;
        budget_.unpinned(item);
        budget_.shrink_back(*this);
    }
    std::uint64_t bytes() const {
        std::uint64_t sum = 0;
        for (const Item& item : items_)
            sum += item.queue != Evictable::Queue::none ? item.bytes : 0;
        return sum;
    }

    bool may_evict(const BudgetEntry& entry) const noexcept override QED_REQUIRES(budget_lock) {
        return !static_cast<const Item&>(entry).is_pinned;
    }
    unsigned age(BudgetEntry& entry) noexcept override QED_REQUIRES(budget_lock) {
        auto& item = static_cast<Item&>(entry);
        return item.uses == 0 ? 0 : item.uses--;
    }
    void reset_uses(BudgetEntry& entry) noexcept override QED_REQUIRES(budget_lock) {
        static_cast<Item&>(entry).uses = 0;
    }
    std::uint64_t ghost_key(const BudgetEntry& entry) const noexcept override
        QED_REQUIRES(budget_lock) {
        return (static_cast<const Item&>(entry).number + 1) * 0x9e3779b97f4a7c15U;
    }
    void evict(BudgetEntry& entry) noexcept override QED_REQUIRES(budget_lock) {
        evicted.push_back(static_cast<Item&>(entry).number);
    }
    std::uint64_t release_unused(std::uint64_t position) noexcept override
        QED_REQUIRES(budget_lock) {
        positions.push_back(position);
        return position < 2 ? position + 1 : 0;
    }
    void add_to(CacheStats& stats) const noexcept override QED_REQUIRES(budget_lock) {
        stats.evictions += evicted.size();
    }

    std::vector<std::uint64_t> evicted;
    std::vector<std::uint64_t> positions;

private:
    MemoryBudget& budget_;
    EvictionGroup group_{this};
    std::deque<Item> items_;
};

constexpr std::uint64_t kLimit = 64U << 10;
constexpr std::uint32_t kTenth = kLimit / 10;

TEST(MemoryBudgetClientTest, InsertionBeyondTheLimitEvictsTheOldest) {
    MemoryBudget budget(kLimit);
    ItemClient client(budget, 0);
    for (int i = 0; i < 10; ++i)
        client.insert(kTenth);
    EXPECT_THAT(client.evicted, IsEmpty());
    client.insert(kTenth);
    EXPECT_THAT(client.evicted, ElementsAre(1U));
    EXPECT_EQ(budget.stats().bytes, client.bytes());
    EXPECT_LE(budget.stats().bytes, kLimit);
}

TEST(MemoryBudgetClientTest, EntryThatMayNotBeEvictedExceedsTheLimitUntilItIsUnpinned) {
    MemoryBudget budget(kLimit);
    ItemClient client(budget, 0);
    std::vector<Item*> pinned;
    for (int i = 0; i < 15; ++i)
        pinned.push_back(&client.insert(kTenth, true));
    EXPECT_THAT(client.evicted, IsEmpty());
    EXPECT_EQ(budget.stats().grows, 1U);
    EXPECT_GT(budget.stats().bytes, kLimit);
    for (Item* item : pinned)
        client.unpin(*item);
    EXPECT_EQ(client.evicted.size(), 5U);
    EXPECT_LE(budget.stats().bytes, kLimit);
    EXPECT_EQ(budget.stats().shrinks, 1U);
    EXPECT_EQ(budget.stats().peak_bytes, 15U * kTenth);
}

TEST(MemoryBudgetClientTest, ClientWithALimitEvictsItsOwnEntriesOnly) {
    MemoryBudget budget(8 * kLimit);
    ItemClient other(budget, 0);
    ItemClient limited(budget, kLimit);
    for (int i = 0; i < 20; ++i) {
        other.insert(kTenth);
        limited.insert(kTenth);
    }
    EXPECT_THAT(other.evicted, IsEmpty());
    EXPECT_EQ(limited.evicted.size(), 10U);
    EXPECT_LE(limited.bytes(), kLimit);
}

TEST(MemoryBudgetClientTest, AllSharesGiveWayWhenTheWholeBudgetIsExceeded) {
    MemoryBudget budget(2 * kLimit);
    ItemClient common(budget, 0);
    ItemClient limited(budget, kLimit);
    for (int i = 0; i < 10; ++i) {
        limited.insert(kTenth);
        common.insert(kTenth);
    }
    for (int i = 0; i < 30; ++i)
        common.insert(kTenth);
    EXPECT_LE(budget.stats().bytes, 2 * kLimit);
    EXPECT_FALSE(limited.evicted.empty());
    EXPECT_FALSE(common.evicted.empty());
}

TEST(MemoryBudgetClientTest, ChargedBytesCountAndEvict) {
    MemoryBudget budget(kLimit);
    ItemClient client(budget, 0);
    for (int i = 0; i < 10; ++i)
        client.insert(kTenth);
    {
        const BudgetLock lock(budget);
        budget.charge(2 * kTenth);
    }
    EXPECT_LE(budget.stats().bytes, kLimit);
    EXPECT_EQ(client.evicted.size(), 2U);
    const BudgetLock lock(budget);
    budget.charge(-std::int64_t{2 * kTenth});
}

TEST(MemoryBudgetClientTest, SmallerLimitAndTrimEvictAtOnce) {
    MemoryBudget budget(10 * kLimit);
    ItemClient client(budget, 0);
    client.insert(kTenth, true);
    for (int i = 1; i < 100; ++i)
        client.insert(kTenth);
    budget.set_limit(kLimit);
    EXPECT_EQ(client.evicted.size(), 90U);
    budget.trim();
    EXPECT_EQ(client.evicted.size(), 99U) << "all but the pinned one";
}

TEST(MemoryBudgetClientTest, ReleaseUnusedGoesThroughEachClientInSteps) {
    MemoryBudget budget(kLimit);
    ItemClient one(budget, 0);
    ItemClient two(budget, kLimit);
    budget.release_unused();
    EXPECT_THAT(one.positions, ElementsAre(0U, 1U, 2U));
    EXPECT_THAT(two.positions, ElementsAre(0U, 1U, 2U));
}

TEST(MemoryBudgetClientTest, CountsOfAClientOutliveIt) {
    MemoryBudget budget(kLimit);
    {
        ItemClient client(budget, kLimit);
        for (int i = 0; i < 12; ++i)
            client.insert(kTenth);
    }
    EXPECT_EQ(budget.stats().evictions, 2U);
    EXPECT_EQ(budget.stats().bytes, 0U);
    ItemClient next(budget, 0);
    next.insert(kTenth);
    EXPECT_EQ(budget.stats().bytes, kTenth);
}

TEST(MemoryBudgetClientTest, EntriesInUseAreKeptWhileIdleOnesGo) {
    MemoryBudget budget(kLimit);
    ItemClient client(budget, 0);
    std::vector<Item*> hot;
    for (int i = 0; i < 4; ++i)
        hot.push_back(&client.insert(kTenth));
    for (int i = 0; i < 40; ++i) {
        for (Item* item : hot)
            item->uses = 1;
        client.insert(kTenth);
    }
    for (const Item* item : hot)
        EXPECT_NE(item->queue, Evictable::Queue::none);
}

}  // namespace
}  // namespace qed::test
