// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/thread_shard.hpp"

namespace qed {

/// Event counters that many threads increment concurrently without sharing a cache line.
/// `Counter` is an enumeration whose last member is `count_`. Sums are exact while no thread adds.
template <class Counter>
class Counters {
public:
    void add(Counter counter, std::uint64_t amount = 1) noexcept {
        const std::size_t shard = thread_shard();
        if (shard == kSharedShard) {
            value(shard, counter).fetch_add(amount, std::memory_order_relaxed);
        } else {
            add_own(shard, counter, amount);
        }
    }
    /// For a shard that only the calling thread uses; it needs no locked instruction.
    void add_own(std::size_t shard, Counter counter, std::uint64_t amount = 1) noexcept {
        std::atomic<std::uint64_t>& own = value(shard, counter);
        own.store(own.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    std::uint64_t sum(Counter counter) const noexcept {
        std::uint64_t total = 0;
        for (const Shard& shard : shards_) {
            total += shard.values[index(counter)].load(std::memory_order_relaxed);
        }
        return total;
    }

private:
    static constexpr std::size_t index(Counter counter) {
        return static_cast<std::size_t>(counter);
    }
    std::atomic<std::uint64_t>& value(std::size_t shard, Counter counter) noexcept {
        return shards_[shard].values[index(counter)];
    }
    struct alignas(kCacheLineBytes) Shard {
        std::array<std::atomic<std::uint64_t>, index(Counter::count_)> values{};
    };
    std::array<Shard, kThreadShards> shards_{};
};

}  // namespace qed
