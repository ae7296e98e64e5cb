// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/cache_counters.hpp"
#include "cache/level_one.hpp"
#include "cache/slice_directory.hpp"
#include "cache/slice_lookup.hpp"

namespace qed {

/// Lookups: any thread, no lock, no allocation, no I/O. mapping_cache.hpp has the argument for the
/// order of the loads.
class MappingReader {
public:
    static constexpr std::uint8_t kMaxUses = 3;   ///< a use count stops here
    static constexpr std::size_t kMaxRuns = 128;  ///< of one find_runs()

    MappingReader(const SliceDirectory& directory, const LevelOne& level_one,
                  CacheCounters& counters) noexcept
        : slots_(directory.slots()),
          lookup_(directory.addressing()),
          counters_(counters),
          level_one_(level_one) {}

    /// The first extent of [at, at + length), length > 0; `miss` if it is not in memory.
    Found find(GuestOffset at, std::uint64_t length) noexcept;
    /// Consecutive results of find(); 0: ask find().
    std::size_t find_runs(GuestOffset at, std::uint64_t length, std::span<Mapping> runs) noexcept;

    const SliceLookup& slices() const noexcept { return lookup_; }

private:
    Found find_ranked(GuestOffset at, std::uint64_t length) noexcept;
    Found find_any(GuestOffset at, std::uint64_t length) noexcept;
    Found find_again(GuestOffset at, std::uint64_t length) noexcept;
    void note_use(DirectoryBlock& block, std::uint32_t index) const noexcept;

    // The data that a hit needs, on one cache line.
    const DirectorySlot* const slots_;
    const SliceLookup lookup_;
    CacheCounters& counters_;
    const LevelOne& level_one_;
};

}  // namespace qed
