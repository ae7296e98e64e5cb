// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "cache/eviction_queue.hpp"
#include "policy.hpp"

namespace qed::cache_sim {

/// The queue of libqed's table cache itself, not a copy, so that the simulated policy is the
/// shipped one.
class Shipped final : public EvictionPolicy {
public:
    explicit Shipped(const PolicyInput& input);

    void on_hit(EntryId entry, Step) override {
        if (uses_[entry] < kMaxUses) ++uses_[entry];
    }
    void on_insert(EntryId entry, Step) override;
    EntryId evict() override;

private:
    static constexpr std::uint8_t kMaxUses = 3;

    std::vector<Evictable> entries_;  // indexed by EntryId
    std::vector<std::uint8_t> uses_;
    EvictionQueue queue_;
};

}  // namespace qed::cache_sim
