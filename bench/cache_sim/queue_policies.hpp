// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "entry_queue.hpp"
#include "policy.hpp"

namespace qed::cache_sim {

/// First in, first out: a hit changes nothing.
class Fifo final : public EvictionPolicy {
public:
    explicit Fifo(const PolicyInput& input) : links_(input.entry_bytes) {}

    void on_hit(EntryId, Step) override {}
    void on_insert(EntryId entry, Step) override { links_.push_young(queue_, entry); }
    EntryId evict() override { return links_.pop_oldest(queue_); }

private:
    EntryLinks links_;
    EntryQueue queue_;
};

/// Least recently used: every hit moves its entry, which in a real cache takes a lock.
class Lru final : public EvictionPolicy {
public:
    explicit Lru(const PolicyInput& input) : links_(input.entry_bytes) {}

    void on_hit(EntryId entry, Step) override {
        links_.unlink(queue_, entry);
        links_.push_young(queue_, entry);
    }
    void on_insert(EntryId entry, Step) override { links_.push_young(queue_, entry); }
    EntryId evict() override { return links_.pop_oldest(queue_); }

private:
    EntryLinks links_;
    EntryQueue queue_;
};

/// FIFO that gives an entry one more round for each of its uses, up to `max_uses`. With 1 this is
/// CLOCK (second chance), with 3 its 2-bit form.
class Clock final : public EvictionPolicy {
public:
    Clock(const PolicyInput& input, std::uint8_t max_uses)
        : links_(input.entry_bytes), uses_(input.entry_bytes.size()), max_uses_(max_uses) {}

    void on_hit(EntryId entry, Step) override {
        if (uses_[entry] < max_uses_) ++uses_[entry];
    }
    void on_insert(EntryId entry, Step) override {
        uses_[entry] = 0;
        links_.push_young(queue_, entry);
    }
    EntryId evict() override;

private:
    EntryLinks links_;
    EntryQueue queue_;
    std::vector<std::uint8_t> uses_;
    std::uint8_t max_uses_;
};

/// SIEVE: one FIFO queue and a hand that walks from old to young, clearing the visited marks and
/// evicting the first entry without one. Survivors stay where they are.
/// \source Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024
class Sieve final : public EvictionPolicy {
public:
    explicit Sieve(const PolicyInput& input)
        : links_(input.entry_bytes), visited_(input.entry_bytes.size()) {}

    void on_hit(EntryId entry, Step) override { visited_[entry] = 1; }
    void on_insert(EntryId entry, Step) override {
        visited_[entry] = 0;
        links_.push_young(queue_, entry);
    }
    EntryId evict() override;

private:
    EntryLinks links_;
    EntryQueue queue_;
    std::vector<std::uint8_t> visited_;
    EntryId hand_ = kNone;  // the next entry to look at; none: start at the old end
};

}  // namespace qed::cache_sim
