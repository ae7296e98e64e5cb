// SPDX-License-Identifier: Apache-2.0
#include "base/thread_shard.hpp"

#include <atomic>
#include <bit>
#include <cstdint>

namespace qed {
namespace {

// One bit for each shard that a living thread owns; all threads share the last shard.
std::atomic<std::uint64_t> owned_shards{std::uint64_t{1} << (kSharedShard)};
static_assert(kThreadShards == 64, "one bit a shard");

std::size_t take_shard() noexcept {
    std::uint64_t owned = owned_shards.load(std::memory_order_relaxed);
    while (~owned != 0) {
        const auto index = static_cast<std::size_t>(std::countr_one(owned));
        if (owned_shards.compare_exchange_weak(owned, owned | (std::uint64_t{1} << index),
                                               std::memory_order_acquire)) {
            return index;
        }
    }
    return kSharedShard;
}

struct OwnedShard {
    std::size_t index = take_shard();
    OwnedShard() = default;
    OwnedShard(const OwnedShard&) = delete;
    OwnedShard& operator=(const OwnedShard&) = delete;
    ~OwnedShard() {
        // Counters that later destructors of this thread increment use the shared shard.
        detail::cached_shard = kSharedShard;
        if (index == kSharedShard) return;
        owned_shards.fetch_and(~(std::uint64_t{1} << index), std::memory_order_release);
    }
};

}  // namespace

namespace detail {

constinit thread_local std::size_t cached_shard [[gnu::tls_model("initial-exec")]] = kThreadShards;

std::size_t take_thread_shard() noexcept {
    thread_local const OwnedShard owned;
    cached_shard = owned.index;
    return cached_shard;
}

}  // namespace detail
}  // namespace qed
