// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/thread_shard.hpp"

namespace qed {

/// Knows when every request that was under way at some moment has ended, so that a freed cluster
/// is not handed out while somebody may still read or write it. Requests enter and leave without
/// sharing a cache line; nobody ever waits.
///
/// Two counters take turns: those who entered in epoch e are counted apart from those of e + 1.
/// try_advance() and epoch() are called under one lock of the caller's. What is unlinked while
/// epoch() is e has no more users once it is e + 2.
class RequestGate {
public:
    class Pass {
    public:
        Pass() = default;
        explicit Pass(std::atomic<std::int64_t>* count) : count_(count) {}
        Pass(Pass&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
        Pass& operator=(Pass&& other) noexcept {
            std::swap(count_, other.count_);
            return *this;
        }
        ~Pass() {
            if (count_ != nullptr) count_->fetch_sub(1, std::memory_order_release);
        }

    private:
        std::atomic<std::int64_t>* count_ = nullptr;
    };

    /// Before the first table lookup of a request; the pass is held until its last I/O has ended.
    [[nodiscard]] Pass enter() noexcept {
        const std::uint64_t epoch = epoch_.load(std::memory_order_acquire);
        std::atomic<std::int64_t>& count = shards_[thread_shard()].counts[epoch & 1];
        // Sequentially consistent against try_advance(): either it counts this request, or this
        // request sees the tables as they were when it looked.
        count.fetch_add(1, std::memory_order_seq_cst);
        return Pass(&count);
    }

    std::uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_relaxed); }

    /// Moves to the next epoch unless a request of the epoch before this one is under way.
    bool try_advance() noexcept {
        const std::uint64_t epoch = epoch_.load(std::memory_order_relaxed);
        std::int64_t under_way = 0;
        for (Shard& shard : shards_) {
            under_way += shard.counts[(epoch + 1) & 1].fetch_add(0, std::memory_order_seq_cst);
        }
        if (under_way != 0) return false;
        epoch_.store(epoch + 1, std::memory_order_seq_cst);
        return true;
    }

private:
    struct alignas(kCacheLineBytes) Shard {
        std::array<std::atomic<std::int64_t>, 2> counts{};
    };
    std::array<Shard, kThreadShards> shards_{};
    std::atomic<std::uint64_t> epoch_{0};
};

}  // namespace qed
