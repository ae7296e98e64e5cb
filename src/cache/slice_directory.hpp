// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/thread_shard.hpp"
#include "cache/entry.hpp"
#include "cache/eviction_queue.hpp"
#include "cache/slice_form.hpp"
#include "qed/executor.hpp"

namespace qed {

class TableCache;
struct SliceRecord;

/// 2^n neighbouring slices: their words, use counts and records lie behind it. Words and use
/// counts are read by readers without a lock, at any time: while the budget lives, the memory of a
/// leaf is only ever used for leaves of the same size, and stays mapped.
struct alignas(kCacheLineBytes) DirectoryBlock : Evictable {
    TableCache* cache = nullptr;
    std::uint64_t index = 0;
    std::uint32_t slots = 0;
    std::uint32_t present = 0;  ///< words that are not absent
    std::uint32_t records = 0;  ///< slots with a record: such a leaf stays

    std::atomic<std::uint64_t>* words() noexcept {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(this + 1);
    }
    /// Readers know how many slots there are and need not look here for it.
    std::atomic<std::uint8_t>* uses(std::size_t slot_count) noexcept {
        return reinterpret_cast<std::atomic<std::uint8_t>*>(words() + slot_count);
    }
    std::atomic<std::uint8_t>& use_count(std::uint32_t slot) noexcept { return uses(slots)[slot]; }
    SliceRecord*& record(std::uint32_t slot) noexcept {
        return reinterpret_cast<SliceRecord**>(uses(slots) + slots)[slot];
    }
    static std::size_t bytes_for(std::size_t slots) noexcept {
        constexpr std::size_t kPerSlot =
            sizeof(std::atomic<std::uint64_t>) + sizeof(std::uint8_t) + sizeof(SliceRecord*);
        return sizeof(DirectoryBlock) + kPerSlot * slots;
    }
};

/// Where readers begin: a leaf, or null where none of its slices is in memory.
///
/// `version` changes, under the budget's lock, each time that what a reader may be looking at is
/// about to be used for something else or is no longer to be believed: after the word or the leaf
/// has left, before its memory is used again. No version is ever used twice in a cache; 0 means
/// that the place has no leaf, whatever else is read there.
struct DirectorySlot {
    std::atomic<std::uint64_t> version;
    std::atomic<DirectoryBlock*> leaf;
};
inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kSlotsInPage = kPageBytes / sizeof(DirectorySlot);
// 64 MiB of address space and a leaf of 2048 slices, where an image has 2^33 of them.
inline constexpr unsigned kMaxSlotBits = 22;
inline constexpr unsigned kMinBlockBits = 6;
inline constexpr unsigned kMaxBlockBits = 11;

/// One read of a slice, for all who wait for it. Lives in the frame of the coroutine that reads.
struct PendingLoad {
    WaiterQueue waiters;     ///< PinRequests
    Entry table = 0;         ///< what the L1 entry said
    bool overtaken = false;  ///< the slice was dropped meanwhile: what was read is not committed
};

/// A slice that is loading, pinned, or has a payload. Only under the budget's lock, except that
/// the holder of a pin may read through `word`.
struct SliceRecord : Evictable {
    bool is_loading = false;
    bool is_detached = false;  ///< dropped while held: no longer in the directory
    std::uint32_t slot = 0;
    std::uint32_t pins = 0;
    DirectoryBlock* leaf = nullptr;
    union {
        SliceWord word = {};  ///< what the pins see; the directory's, unless detached
        PendingLoad* load;    ///< while it is loading
    };
};

}  // namespace qed
