// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/assert.hpp"
#include "base/thread_shard.hpp"

namespace qed {

/// Tells when every request that was in flight at some moment has ended, so that a freed cluster is
/// not reused while a request may still read or write it. Requests enter and leave without sharing
/// a cache line, and no request ever waits.
///
/// Two counters alternate: requests of epoch e are counted separately from those of epoch e + 1.
/// The caller calls try_advance() and epoch() under one of its locks. A cluster that is unlinked
/// while epoch() is e has no more users when epoch() is e + 2.
class RequestEpochs {
    struct Shard;

public:
    class Guard {
    public:
        Guard() = default;
        Guard(Shard& shard, std::size_t number, unsigned parity)
            : shard_(&shard), number_(number), parity_(parity) {}
        Guard(Guard&& other) noexcept
            : shard_(std::exchange(other.shard_, nullptr)),
              number_(other.number_),
              parity_(other.parity_) {}
        Guard& operator=(Guard&& other) noexcept {
            std::swap(shard_, other.shard_);
            std::swap(number_, other.number_);
            std::swap(parity_, other.parity_);
            return *this;
        }
        ~Guard() {
            if (shard_ != nullptr) shard_->leave(number_, parity_);
        }

    private:
        Shard* shard_ = nullptr;
        std::size_t number_ = 0;
        unsigned parity_ = 0;
    };

    /// Call this before the first lookup of a request; hold the guard until its last I/O has ended.
    [[nodiscard]] Guard enter() noexcept {
        const std::size_t number = thread_shard();
        const auto parity = static_cast<unsigned>(epoch_.load(std::memory_order_acquire) & 1);
        Shard& shard = shards_[number];
        // Sequentially consistent against try_advance(): either it counts this request, or this
        // request sees the tables as they were when it looked.
        shard.entered[parity].fetch_add(1, std::memory_order_seq_cst);
        return {shard, number, parity};
    }

    std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_relaxed); }

    /// Moves to the next epoch unless a request of the previous epoch is in flight.
    bool try_advance() noexcept {
        const std::uint64_t epoch = epoch_.load(std::memory_order_relaxed);
        std::int64_t under_way = 0;
        for (Shard& shard : shards_)
            under_way += shard.under_way((epoch + 1) & 1);
        if (under_way != 0) return false;
        const std::uint64_t before = epoch_.exchange(epoch + 1, std::memory_order_seq_cst);
        QED_ASSERT(before == epoch);  // the caller's lock admits one call at a time
        return true;
    }

private:
    struct alignas(kCacheLineBytes) Shard {
        // Minus the requests that left on the thread that owns the shard.
        std::array<std::atomic<std::int64_t>, 2> entered{};
        std::array<std::atomic<std::int64_t>, 2> left_elsewhere{};

        // The thread that owns the shard leaves without a locked instruction, which would wait for
        // all stores of the request into its buffer. No other thread decrements `entered`. After a
        // thread that advances has found no request in flight, the owner's next access is to enter:
        // a locked instruction, which sees everything before the advance.
        void leave(std::size_t number, unsigned parity) noexcept {
            if (number == own_thread_shard() && number < kSharedShard) {
                std::atomic<std::int64_t>& count = entered[parity];
                count.store(count.load(std::memory_order_relaxed) - 1, std::memory_order_release);
            } else {
                left_elsewhere[parity].fetch_add(1, std::memory_order_release);
            }
        }
        // In this order: a request that is seen to have left is also seen to have entered.
        std::int64_t under_way(std::size_t parity) noexcept {
            const std::int64_t left = left_elsewhere[parity].load(std::memory_order_acquire);
            const std::int64_t requests =
                entered[parity].fetch_add(0, std::memory_order_seq_cst) - left;
            QED_ASSERT(requests >= 0);
            return requests;
        }
    };
    std::array<Shard, kThreadShards> shards_{};
    std::atomic<std::uint64_t> epoch_{0};
};

}  // namespace qed
