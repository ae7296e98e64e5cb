// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "cache/ghost_table.hpp"
#include "entry_queue.hpp"
#include "policy.hpp"

namespace qed::cache_sim {

/// S3-FIFO, measured in bytes. New entries pass a small FIFO queue. Entries that are used there
/// move to the main queue, a 2-bit CLOCK. The keys of the others are remembered; an entry that
/// returns while its key is remembered enters the main queue directly.
/// \source Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023
class S3Fifo final : public EvictionPolicy {
public:
    struct Options {
        std::uint64_t small_percent = 10;  ///< of the budget, for the small queue
        std::uint8_t uses_to_promote = 2;  ///< uses in the small queue before it moves to main
    };

    S3Fifo(const PolicyInput& input, const Options& options);

    void on_hit(EntryId entry, Step) override {
        if (uses_[entry] < kMaxUses) ++uses_[entry];
    }
    void on_insert(EntryId entry, Step) override;
    EntryId evict() override;

private:
    static constexpr std::uint8_t kMaxUses = 3;

    std::span<const std::uint32_t> entry_bytes_;
    EntryLinks links_;
    EntryQueue small_;
    EntryQueue main_;
    GhostTable ghosts_;
    std::vector<std::uint8_t> uses_;
    std::uint64_t small_target_;
    std::uint8_t uses_to_promote_;
};

}  // namespace qed::cache_sim
