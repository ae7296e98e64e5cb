// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "policy.hpp"

namespace qed::cache_sim::naive {

// Naive versions of the policies, written from their descriptions: the front is old, and every
// operation searches. They share no code with the policies that they check.

struct Item {
    EntryId entry;
    int uses;
};
using Items = std::deque<Item>;

inline Item* find(Items& items, EntryId entry) {
    const auto found = std::ranges::find(items, entry, &Item::entry);
    return found == items.end() ? nullptr : &*found;
}

inline Item pop_front(Items& items) {
    const Item item = items.front();
    items.pop_front();
    return item;
}

class Lru : public EvictionPolicy {
public:
    explicit Lru(const PolicyInput&) {}
    void on_hit(EntryId entry, Step) override {
        std::erase_if(items_, [&](const Item& item) { return item.entry == entry; });
        items_.push_back({entry, 0});
    }
    void on_insert(EntryId entry, Step) override { items_.push_back({entry, 0}); }
    EntryId evict() override { return pop_front(items_).entry; }

private:
    Items items_;
};

class Clock : public EvictionPolicy {
public:
    Clock(const PolicyInput&, int most) : most_(most) {}
    void on_hit(EntryId entry, Step) override {
        Item& item = *find(items_, entry);
        item.uses = std::min(item.uses + 1, most_);
    }
    void on_insert(EntryId entry, Step) override { items_.push_back({entry, 0}); }
    EntryId evict() override {
        while (items_.front().uses > 0) {
            const Item item = pop_front(items_);
            items_.push_back({item.entry, item.uses - 1});
        }
        return pop_front(items_).entry;
    }

private:
    int most_;
    Items items_;
};

class Fifo : public Clock {
public:
    explicit Fifo(const PolicyInput& input) : Clock(input, 0) {}
};

class Sieve : public EvictionPolicy {
public:
    explicit Sieve(const PolicyInput&) {}
    void on_hit(EntryId entry, Step) override { find(items_, entry)->uses = 1; }
    void on_insert(EntryId entry, Step) override { items_.push_back({entry, 0}); }
    EntryId evict() override {
        for (;; ++hand_) {
            if (hand_ >= items_.size()) hand_ = 0;
            if (items_[hand_].uses == 0) break;
            items_[hand_].uses = 0;
        }
        const EntryId entry = items_[hand_].entry;
        items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(hand_));
        // A hand past the youngest restarts at the oldest, even if younger entries follow.
        if (hand_ == items_.size()) hand_ = 0;
        return entry;
    }

private:
    Items items_;
    std::size_t hand_ = 0;
};

// S3-FIFO with a fixed small queue, or with one that adapts.
class S3Fifo : public EvictionPolicy {
public:
    S3Fifo(const PolicyInput& input, std::uint64_t small_percent, int promote, bool adaptive)
        : input_(input),
          promote_(promote),
          adaptive_(adaptive),
          target_(percent(small_percent)),
          small_span_(percent(adaptive ? 130 : 100)) {}

    void on_hit(EntryId entry, Step) override {
        Item* item = find(small_, entry);
        if (item == nullptr) item = find(main_, entry);
        item->uses = std::min(item->uses + 1, 3);
    }

    void on_insert(EntryId entry, Step) override {
        const std::size_t count = small_.size() + main_.size();
        const std::uint64_t step = count == 0 ? 0 : (bytes(small_) + bytes(main_)) / count;
        const auto small_age = take(small_ghosts_, entry, entered_small_, small_span_);
        const auto main_age = take(main_ghosts_, entry, left_main_, percent(70));
        if (adaptive_ && small_age && *small_age <= percent(70)) {
            target_ = std::min(target_ + step, percent(70));
        } else if (adaptive_ && main_age) {
            target_ = target_ > percent(10) + step ? target_ - step : percent(10);
        }
        if (small_age) {
            main_.push_back({entry, 0});
        } else {
            small_.push_back({entry, 0});
            entered_small_ += input_.entry_bytes[entry];
        }
    }

    EntryId evict() override {
        for (;;) {
            if (bytes(small_) > target_ || main_.empty()) {
                const Item item = pop_front(small_);
                if (item.uses < promote_) {
                    small_ghosts_[item.entry] = entered_small_ - bytes(small_);
                    return item.entry;
                }
                main_.push_back({item.entry, 0});
            } else {
                const Item item = pop_front(main_);
                if (item.uses == 0) {
                    if (adaptive_) main_ghosts_[item.entry] = left_main_;
                    left_main_ += input_.entry_bytes[item.entry];
                    return item.entry;
                }
                main_.push_back({item.entry, item.uses - 1});
            }
        }
    }

private:
    using Ghosts = std::map<EntryId, std::uint64_t>;

    std::uint64_t percent(std::uint64_t part) const { return input_.budget_bytes * part / 100; }

    std::uint64_t bytes(const Items& items) const {
        std::uint64_t sum = 0;
        for (const Item& item : items)
            sum += input_.entry_bytes[item.entry];
        return sum;
    }

    static std::optional<std::uint64_t> take(Ghosts& ghosts, EntryId entry, std::uint64_t now,
                                             std::uint64_t span) {
        const auto found = ghosts.find(entry);
        if (found == ghosts.end()) return std::nullopt;
        const std::uint64_t age = now - found->second;
        ghosts.erase(found);
        return age <= span ? std::optional(age) : std::nullopt;
    }

    PolicyInput input_;
    int promote_;
    bool adaptive_;
    std::uint64_t target_;
    std::uint64_t small_span_;
    std::uint64_t entered_small_ = 0;
    std::uint64_t left_main_ = 0;
    Items small_;
    Items main_;
    Ghosts small_ghosts_;
    Ghosts main_ghosts_;
};

}  // namespace qed::cache_sim::naive
