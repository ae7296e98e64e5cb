// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cache/eviction_client.hpp"

namespace qed {

/// The eviction queues of a budget, and which of them gives way next. Callers serialise all calls.
class EvictionShares {
public:
    EvictionShares() noexcept { common_.next = &common_; }
    EvictionShares(const EvictionShares&) = delete;
    EvictionShares& operator=(const EvictionShares&) = delete;

    /// The share of all clients that have no limit of their own.
    EvictionShare& common() noexcept { return common_; }
    /// Makes a share with a limit for this client.
    EvictionShare& add(EvictionClient& client, std::uint64_t limit_bytes) noexcept;
    void remove(EvictionShare& share) noexcept;
    /// The budget's limit: no queue is made for more.
    void set_capacity(std::uint64_t bytes) noexcept;

    /// Bytes of all entries, and what was charged besides.
    std::uint64_t used() const noexcept { return used_; }
    /// Bytes that no queue counts: pages of a directory, which go when the blocks in them have
    /// gone.
    void charge(std::int64_t bytes) noexcept { used_ += static_cast<std::uint64_t>(bytes); }

    /// Evicts from this share until it is inside its own limit, or all that is left is pinned.
    static void evict_to_limit(EvictionShare& share) noexcept;
    /// Evicts from all shares until used() <= `bytes`, or all that is left is pinned.
    void evict_to(std::uint64_t bytes) noexcept;

private:
    std::uint64_t used_ = 0;
    std::uint64_t capacity_ = 0;
    EvictionShare common_{used_};
    EvictionShare* turn_ = &common_;  // whose queue is asked next when all must give way
    std::uint64_t turn_bytes_ = 0;    // asked in this turn
};

}  // namespace qed
