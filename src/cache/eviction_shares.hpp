// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cache/eviction_client.hpp"

namespace qed {

/// The eviction queues of a budget, and the choice of the next queue that evicts. Callers serialise
/// all calls.
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

    /// Bytes of all entries and of the other charges.
    std::uint64_t used() const noexcept { return used_; }
    /// Bytes that no queue counts: pages of a directory, which are released after the blocks in
    /// them.
    void charge(std::int64_t bytes) noexcept { used_ += static_cast<std::uint64_t>(bytes); }

    /// Evicts from this share until it is within its own limit, or only pinned entries are left.
    static void evict_to_limit(EvictionShare& share) noexcept;
    /// Evicts from all shares until used() <= `bytes`, or only pinned entries are left.
    void evict_to(std::uint64_t bytes) noexcept;

private:
    std::uint64_t used_ = 0;
    std::uint64_t capacity_ = 0;
    EvictionShare common_{used_};
    EvictionShare* turn_ = &common_;  // whose queue is asked next when all must give way
    std::uint64_t turn_bytes_ = 0;    // asked in this turn
};

}  // namespace qed
