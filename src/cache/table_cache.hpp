// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/zeroed_array.hpp"
#include "cache/entry.hpp"
#include "cache/shared_budget.hpp"
#include "cache/slice_form.hpp"
#include "qed/block_file.hpp"
#include "qed/geometry.hpp"
#include "qed/stats.hpp"
#include "qed/task.hpp"

namespace qed {

class TableCache;

struct SliceRecord;

/// 2^n neighbouring slices: what readers walk through. `words` and `uses` are read and written by
/// readers without a lock; a leaf's memory is only ever used again as a leaf of the same cache.
struct alignas(kCacheLineBytes) Leaf : Evictable {
    TableCache* cache = nullptr;
    std::uint64_t index = 0;
    std::uint32_t records = 0;  ///< slices with a record: such a leaf stays
    std::uint32_t holds = 0;    ///< loads that will commit into it
    std::uint32_t version = 0;  ///< grows with every update, eviction and drop in it

    std::atomic<std::uint64_t>* words() {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(this + 1);
    }
};

/// One coroutine's wish for a pin; in its frame, linked while it waits for somebody's read.
struct PinRequest : Waiter {
    enum class Outcome : std::uint8_t { pinned, leads, failed } outcome = Outcome::failed;
    SliceRecord* record = nullptr;
    std::optional<Error> error;
};

/// A slice that is loading, pinned, or has a payload. Only under the budget's lock, except that
/// the holder of a pin may read through `word`.
struct SliceRecord : Evictable {
    Leaf* leaf = nullptr;
    SliceWord word;          ///< what the pins see; the directory's, unless detached
    std::uint32_t slot = 0;  ///< in the leaf
    std::uint32_t pins = 0;
    bool detached = false;  ///< dropped while held: no longer in the directory
    bool loading = false;   ///< being read; nobody sees the slice yet
    WaiterQueue waiters;    ///< PinRequests that share the read
};

/// A pin on a slice: it is not evicted, and its entries can be read and updated. Move-only; lets
/// go when destroyed.
class SliceRef {
public:
    SliceRef() = default;
    SliceRef(TableCache* cache, SliceRecord* record) : cache_(cache), record_(record) {}
    SliceRef(SliceRef&& other) noexcept
        : cache_(other.cache_), record_(std::exchange(other.record_, nullptr)) {}
    SliceRef& operator=(SliceRef&& other) noexcept {
        std::swap(cache_, other.cache_);
        std::swap(record_, other.record_);
        return *this;
    }
    ~SliceRef() { reset(); }
    void reset() noexcept;
    explicit operator bool() const noexcept { return record_ != nullptr; }
    /// For the one writer of the image's tables: others may see an update half done.
    Entry entry(std::uint32_t index) const noexcept;
    /// The slice was dropped after a failed write: what it says may no longer be what is on disk.
    bool is_detached() const noexcept;

private:
    friend class TableCache;
    TableCache* cache_ = nullptr;
    SliceRecord* record_ = nullptr;
};

/// What the tables say about the first bytes of a guest range.
struct Lookup {
    enum class Kind : std::uint8_t {
        miss,  ///< not in memory: load()
        unallocated,
        zero,
        data,
        bad_l1,  ///< the L1 entry breaks the format's rules
        bad_l2,  ///< the L2 entry does
    } kind = Kind::miss;
    std::uint64_t file_offset = 0;
    std::uint64_t length = 0;  ///< bytes that the answer holds for; at most what was asked
};

/// How raw entries of this image's tables are judged; made by the image from its header.
class EntryJudge {
public:
    virtual ~EntryJudge() = default;
    /// Turns raw little-endian entries into markers and offsets; the first has table index `first`
    /// in the L2 table at `table`. May see entries beyond the end of the image.
    virtual void decode(std::uint64_t table, std::uint64_t first, std::span<const std::byte> raw,
                        std::span<Entry> entries) const noexcept = 0;
};

struct TableCacheOptions {
    std::uint32_t slice_bytes = 4096;
    std::uint32_t readahead_slices = 8;
};

/// The L2 tables of one image, in slices, addressed by their place in the guest's address space.
///
/// find() takes no lock and allocates nothing; it only reads, except for a use count that stops
/// changing when a slice is hot. Everything else works under the budget's lock, which is never
/// held over I/O. Memory is never ahead of the file: updates are published after their write.
/// Updates of one image are made by one writer at a time (CommitGroup).
class TableCache {
public:
    /// \errors out_of_memory
    static Result<std::unique_ptr<TableCache>> create(BlockFile& file, SharedBudget& budget,
                                                      const Geometry& geometry,
                                                      const EntryJudge& judge,
                                                      const TableCacheOptions& options);
    ~TableCache();
    TableCache(const TableCache&) = delete;
    TableCache& operator=(const TableCache&) = delete;

    const SliceShape& shape() const noexcept { return shape_; }
    std::uint32_t slice_bytes() const noexcept { return shape_.entries() * 8; }
    std::uint64_t slice_index(GuestOffset at) const noexcept { return at.value >> slice_bits_; }
    std::uint64_t slice_in_table(std::uint64_t slice) const noexcept {
        return slice & ((std::uint64_t{1} << slices_per_table_bits_) - 1);
    }
    std::uint64_t l1_index_of(std::uint64_t slice) const noexcept {
        return slice >> slices_per_table_bits_;
    }

    /// The L1 table in memory: an offset, 0, or kBadEntry. set_l1() is for open, resize and the
    /// writer, after the file says the same.
    Entry l1(std::uint64_t index) const noexcept {
        return l1_[index].load(std::memory_order_acquire);
    }
    void set_l1(std::uint64_t index, Entry table) noexcept {
        l1_[index].store(table, std::memory_order_release);
    }
    std::uint64_t l1_capacity() const noexcept { return l1_.size(); }

    /// The first extent of the range [at, at + length), length > 0. Any thread; no lock, no I/O.
    Lookup find(GuestOffset at, std::uint64_t length) noexcept;
    /// find() after reading the slice from the file if need be. Misses of the same slice share one
    /// read; a hit on another slice never waits for it.
    /// \errors io_error, out_of_memory
    Task<Result<Lookup>> load(GuestOffset at, std::uint64_t length);
    /// Pins the slice, which must have a table (l1 is an offset); reads it if need be.
    Task<Result<SliceRef>> pin(std::uint64_t slice);
    /// Pins the slice only if it is in memory.
    SliceRef try_pin(std::uint64_t slice) noexcept;

    /// After the write of these entries to the file succeeded: readers see them from here on.
    /// False: no memory, readers see the slice as it was, perhaps with some of the entries.
    bool publish(const SliceRef& slice, std::uint32_t first,
                 std::span<const Entry> entries) noexcept;
    /// After a failed write: what the file holds is unknown, so the slice leaves the cache and
    /// is read again when next needed. Its holders keep what they have.
    void drop(std::uint64_t slice) noexcept;
    /// After a new, empty L2 table was written and linked from the L1 table in the file: `slice`
    /// and its neighbours are in the cache without being read.
    void install_table(std::uint64_t slice, std::uint64_t table) noexcept;
    /// Offers a slice that was read ahead at `version` of its leaf. The copy in the cache wins;
    /// a copy that an update or eviction overtook is dropped.
    void offer(std::uint64_t slice, std::span<const Entry> entries, std::uint32_t version) noexcept;

    /// This cache's part; limit and bytes are the budget's.
    CacheStats stats() const;

    // For the budget, with its lock held.
    static bool may_evict(Evictable& entry) noexcept;
    static unsigned age(Evictable& entry) noexcept;
    static void reset_uses(Evictable& entry) noexcept;
    static std::uint64_t ghost_key(Evictable& entry) noexcept;
    static void evict(Evictable& entry) noexcept;

private:
    friend class SliceRef;
    friend class SharedBudget;
    struct PinAwaiter;
    TableCache(BlockFile& file, SharedBudget& budget, const Geometry& geometry,
               const EntryJudge& judge, const TableCacheOptions& options);

    std::atomic<std::uint8_t>* uses(Leaf& leaf) const noexcept;
    SliceRecord** records(Leaf& leaf) const noexcept;
    std::size_t leaf_bytes() const noexcept;
    std::uint32_t slot_of(std::uint64_t slice) const noexcept {
        return static_cast<std::uint32_t>(slice & ((std::uint64_t{1} << leaf_bits_) - 1));
    }
    void note_use(Leaf& leaf, std::uint32_t slot) const noexcept;
    Lookup describe(Entry first, std::uint32_t run, GuestOffset at, std::uint64_t length) const;
    Lookup find_in_l1(GuestOffset at, std::uint64_t length) const noexcept;
    Lookup find_in_word(SliceWord word, GuestOffset at, std::uint64_t length) const noexcept;
    std::uint32_t run_length(SliceWord word, std::uint32_t index, std::uint32_t limit,
                             Entry first) const noexcept;

    void release(SliceRecord& record) noexcept;
    bool is_detached(const SliceRecord& record) const noexcept;

    // The miss path (table_loader.cpp).
    bool pin_or_join(std::uint64_t slice, PinRequest& request) noexcept;
    struct ReadPlan {
        std::uint32_t slices = 1;
        std::uint32_t version = 0;  ///< of the leaf, when the read started
    };
    ReadPlan plan_read(std::uint64_t slice) noexcept;
    Task<Result<void>> read_slices(std::uint64_t slice, SliceRecord* record);
    bool commit_load(SliceRecord& record, std::span<const Entry> entries) noexcept;
    void fail_load(SliceRecord& record, const Error& error) noexcept;
    void finish_load(SliceRecord& record, const Error* error) noexcept;

    // With the budget's lock held.
    Leaf* leaf_for(std::uint64_t slice) noexcept;
    Leaf* find_leaf(std::uint64_t slice) const noexcept;
    SliceRecord* record_for(Leaf& leaf, std::uint32_t slot) noexcept;
    void pin_record(SliceRecord& record) noexcept;
    void unpin(SliceRecord& record) noexcept;
    void forget_record(SliceRecord& record) noexcept;
    void remove_from_leaf(const SliceRecord& record) noexcept;
    bool store_entries(SliceRecord& record, std::span<const Entry> entries) noexcept;
    void set_word(SliceRecord& record, SliceWord word, std::uint32_t payload_bytes) noexcept;
    void free_payload(SliceWord word) noexcept;
    void detach(SliceRecord& record) noexcept;
    void evict_record(SliceRecord& record) noexcept;
    void evict_leaf(Leaf& leaf) noexcept;
    void add_to(CacheStats& stats) const noexcept;

    BlockFile& file_;
    SharedBudget& budget_;
    const Geometry geometry_;
    const EntryJudge& judge_;
    SliceShape shape_;
    unsigned slice_bits_;  // guest bytes that a slice maps
    unsigned slices_per_table_bits_;
    unsigned leaf_bits_;  // slices in a leaf
    std::uint32_t readahead_;
    ZeroedArray<std::atomic<Entry>> l1_;
    ZeroedArray<std::atomic<Leaf*>> leaves_;
    CacheCounters counters_;
    // Guarded by the budget's lock:
    Leaf* spare_leaves_ = nullptr;  // linked by `newer`
    std::uint64_t leaf_limit_ = 0;  // no leaf at or above this index
    std::unique_ptr<Entry[]> scratch_;
    std::uint64_t tag_ = 0;
    std::uint64_t last_read_ = ~std::uint64_t{0};  // last slice of the latest read
    std::uint32_t read_run_ = 1;
    std::uint64_t slices_ = 0;
    std::uint64_t pinned_ = 0;
    std::uint64_t loads_ = 0;
    TableCache* next_ = nullptr;  // in the budget's list
    TableCache* previous_ = nullptr;
};

inline std::atomic<std::uint8_t>* TableCache::uses(Leaf& leaf) const noexcept {
    return reinterpret_cast<std::atomic<std::uint8_t>*>(leaf.words() +
                                                        (std::size_t{2} << leaf_bits_));
}

inline SliceRecord** TableCache::records(Leaf& leaf) const noexcept {
    return reinterpret_cast<SliceRecord**>(leaf.words() + (std::size_t{1} << leaf_bits_));
}

}  // namespace qed
