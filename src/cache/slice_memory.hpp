// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "cache/slice_addressing.hpp"
#include "cache/slice_arena.hpp"

namespace qed {

/// The memory of all slices of a budget: an arena for each kind. A reader may still read memory
/// after it was freed, so memory of one kind must not be reused for another kind: an atomic word
/// stays an atomic word.
struct SliceMemory {
    SliceArena payloads;
    SliceArena records;
    std::array<SliceArena, kMaxBlockBits - kMinBlockBits + 1> blocks;  ///< by size

    SliceArena& blocks_of(unsigned block_bits) noexcept {
        return blocks[block_bits - kMinBlockBits];
    }
    /// Gives the memory of empty slabs back to the system at once.
    void trim() noexcept {
        payloads.trim();
        records.trim();
        for (SliceArena& arena : blocks)
            arena.trim();
    }
};

}  // namespace qed
