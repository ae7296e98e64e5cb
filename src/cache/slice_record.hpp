// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/thread_shard.hpp"
#include "cache/entry.hpp"
#include "cache/eviction_client.hpp"
#include "cache/slice_addressing.hpp"
#include "cache/slice_form.hpp"
#include "qed/executor.hpp"

// The two kinds of entries that a cache has in its budget.

namespace qed {

struct SliceRecord;

/// 2^n consecutive slices; their words, use counts and records follow it in memory. Readers read
/// words and use counts at any time without a lock. While the budget lives, the memory of a block
/// is used only for blocks of the same size, and stays mapped.
struct alignas(kCacheLineBytes) DirectoryBlock : BudgetEntry, EvictionGroup {
    std::uint64_t slot = 0;     ///< its slot of the directory
    std::uint32_t slices = 0;   ///< the number of slices that it maps
    std::uint32_t present = 0;  ///< words that are not absent
    std::uint32_t records = 0;  ///< slices with a record: while there are some, the block stays

    std::atomic<std::uint64_t>* words() noexcept {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(this + 1);
    }
    /// For readers, which know the number of slices without reading it here.
    std::atomic<std::uint8_t>* uses(std::size_t slice_count) noexcept {
        return reinterpret_cast<std::atomic<std::uint8_t>*>(words() + slice_count);
    }
    std::atomic<std::uint8_t>& use_count(std::uint32_t index) noexcept {
        return uses(slices)[index];
    }
    SliceRecord*& record(std::uint32_t index) noexcept {
        return reinterpret_cast<SliceRecord**>(uses(slices) + slices)[index];
    }
    /// Under the budget's lock, which orders it with every store.
    SliceWord word(std::uint32_t index) noexcept {
        return SliceWord(words()[index].load(std::memory_order_relaxed));
    }
    static std::size_t bytes_for(std::size_t slice_count) noexcept {
        constexpr std::size_t kPerSlice =
            sizeof(std::atomic<std::uint64_t>) + sizeof(std::uint8_t) + sizeof(SliceRecord*);
        return sizeof(DirectoryBlock) + kPerSlice * slice_count;
    }
};

/// One read of a slice, for all requests that wait for it. Lives in the frame of the coroutine that
/// reads.
struct PendingLoad {
    WaiterQueue waiters;     ///< PinRequests
    Entry table = 0;         ///< the L1 entry when the read began
    bool overtaken = false;  ///< the slice was dropped meanwhile: the read is not committed
};

/// A slice that is loading, pinned, or has a payload. Only under the budget's lock, except that the
/// holder of a pin may read through `word`.
struct SliceRecord : BudgetEntry {
    bool is_loading = false;
    bool is_detached = false;  ///< dropped while it was pinned: no longer in the directory
    std::uint16_t index = 0;   ///< in its block
    std::uint32_t pins = 0;
    union {
        SliceWord word = {};  ///< what the pins see; the directory's, unless detached
        PendingLoad* load;    ///< while it is loading
    };

    DirectoryBlock& block() const noexcept { return static_cast<DirectoryBlock&>(*group); }
};
static_assert(sizeof(SliceRecord) == 48 && sizeof(DirectoryBlock) == kCacheLineBytes);
static_assert((1U << kMaxBlockBits) - 1 <= UINT16_MAX);

/// The kind of an entry: a block is its own group.
inline DirectoryBlock& block_of(const BudgetEntry& entry) noexcept {
    return static_cast<DirectoryBlock&>(*entry.group);
}
inline bool is_block(const BudgetEntry& entry) noexcept {
    return static_cast<const BudgetEntry*>(&block_of(entry)) == &entry;
}

}  // namespace qed
