// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "entry_queue.hpp"
#include "ghost_list.hpp"
#include "policy.hpp"

namespace qed::cache_sim {

/// S3-FIFO whose small queue finds its own size: the policy of libqed's table cache, specified in
/// docs/adr/0002-eviction-policy.md.
///
/// An entry that comes back soon after it left the small queue would have been kept by a longer
/// one, so that queue grows; one that comes back after it left the main queue shrinks it. What
/// comes back late does not count, or a loop longer than the cache would let the small queue take
/// over for nothing.
class AdaptiveS3Fifo final : public EvictionPolicy {
public:
    explicit AdaptiveS3Fifo(const PolicyInput& input);

    void on_hit(EntryId entry, Step) override {
        if (uses_[entry] < kMaxUses) ++uses_[entry];
    }
    void on_insert(EntryId entry, Step) override;
    EntryId evict() override;

    /// What the small queue may hold at present.
    std::uint64_t small_target_bytes() const { return small_target_; }

private:
    static constexpr std::uint8_t kMaxUses = 3;

    std::span<const std::uint32_t> entry_bytes_;
    EntryLinks links_;
    EntryQueue small_;
    EntryQueue main_;
    GhostList small_ghost_;
    GhostList main_ghost_;
    std::vector<std::uint8_t> uses_;
    std::uint64_t min_small_;
    std::uint64_t max_small_;
    std::uint64_t small_target_;
};

}  // namespace qed::cache_sim
