// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/aligned_buffer.hpp"
#include "base/zeroed_array.hpp"
#include "cache/entry.hpp"
#include "cache/shared_budget.hpp"
#include "cache/slice_addressing.hpp"
#include "cache/slice_directory.hpp"
#include "cache/slice_encoder.hpp"
#include "cache/slice_form.hpp"
#include "qed/block_file.hpp"
#include "qed/geometry.hpp"
#include "qed/mapping.hpp"
#include "qed/stats.hpp"
#include "qed/task.hpp"

namespace qed {

class TableCache;
struct PinRequest;

/// A pin on a slice: it is not evicted, and its entries can be read and updated. Move-only; lets
/// go when destroyed.
class SliceRef {
public:
    SliceRef() = default;
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
    /// The entries from `first` on: far less work than one by one.
    void entries(std::uint32_t first, std::span<Entry> entries) const noexcept;
    /// The slice was dropped after a failed write: what it says may no longer be what is on disk.
    bool is_detached() const noexcept;

private:
    friend class TableCache;
    SliceRef(TableCache* cache, SliceRecord* record) : cache_(cache), record_(record) {}

    TableCache* cache_ = nullptr;
    SliceRecord* record_ = nullptr;
};

/// How raw entries of this image's tables are judged; made by the image from its header.
class EntryDecoder {
public:
    virtual ~EntryDecoder() = default;
    /// Turns raw little-endian entries into markers and offsets; the first has table index `first`
    /// in the L2 table at `table`. May see entries beyond the end of the image.
    virtual void decode(std::uint64_t table, std::uint64_t first, std::span<const std::byte> raw,
                        std::span<Entry> entries) const noexcept = 0;
};

struct TableCacheOptions {
    std::uint32_t slice_bytes = 4096;
    std::uint32_t readahead_slices = 8;
    std::uint64_t limit_bytes = 0;  ///< of the budget for this cache alone; 0: all of it
};

/// The L2 tables of one image, in slices, addressed by their place in the guest's address space.
///
/// find() takes no lock and allocates nothing; it only reads, except for a use count that stops
/// changing when a slice is hot. Everything else works under the budget's lock, which is never
/// held over I/O. Memory is never ahead of the file: updates are published after their write.
/// Updates of one image are made by one writer at a time. docs/cache.md has the whole story.
class TableCache {
public:
    /// \errors out_of_memory
    static Result<std::unique_ptr<TableCache>> create(BlockFile& file, SharedBudget& budget,
                                                      const Geometry& geometry,
                                                      const EntryDecoder& judge,
                                                      const TableCacheOptions& options);
    /// No request is under way and no pin is left.
    ~TableCache();
    TableCache(const TableCache&) = delete;
    TableCache& operator=(const TableCache&) = delete;

    const SliceShape& shape() const noexcept { return shape_; }
    std::uint32_t slice_bytes() const noexcept { return shape_.entries() * sizeof(Entry); }
    std::uint64_t slice_index(GuestOffset at) const noexcept { return addressing_.slice(at); }
    std::uint64_t slice_in_table(std::uint64_t slice) const noexcept {
        return addressing_.slice_in_table(slice);
    }
    std::uint64_t l1_index_of(std::uint64_t slice) const noexcept {
        return addressing_.table_of_slice(slice);
    }

    /// The L1 table in memory: an offset, 0, or kBadEntry.
    Entry l1(std::uint64_t index) const noexcept {
        return l1_[index].load(std::memory_order_acquire);
    }
    /// For open, resize and the writer, after the file says the same. Where the entry named
    /// another table before, that table's slices leave the cache, and a read of one that is under
    /// way is not committed.
    void set_l1(std::uint64_t index, Entry table) noexcept;
    std::uint64_t l1_capacity() const noexcept { return l1_.size(); }

    /// The first extent of the range [at, at + length), length > 0. Any thread; no lock, no I/O.
    Mapping find(GuestOffset at, std::uint64_t length) noexcept {
        return find_likely(at, length).mapping();
    }
    /// The answers of find() one behind the other, for as many entries in a row as `runs` has
    /// room. Far less work than one by one where they are many.
    /// \returns how many answers there are; 0: ask find()
    std::size_t find_runs(GuestOffset at, std::uint64_t length, std::span<Mapping> runs) noexcept;
    /// find() after reading the slice from the file if need be. Misses of the same slice share one
    /// read; a hit on another slice never waits for it.
    /// \errors io_error, out_of_memory
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length);
    /// Pins the slice; reads it if need be. An empty SliceRef where the L1 entry names no table.
    /// \errors io_error, out_of_memory
    Task<Result<SliceRef>> pin(std::uint64_t slice);
    /// Pins the slice only if it is in memory.
    SliceRef try_pin(std::uint64_t slice) noexcept;

    /// After the write of these entries to the file succeeded: readers see them from here on.
    /// False: no memory, nothing has changed.
    bool publish(const SliceRef& slice, std::uint32_t first,
                 std::span<const Entry> entries) noexcept;
    /// After a failed write: what the file holds is unknown, so the slice leaves the cache and
    /// is read again when next needed. Its holders keep what they have.
    void drop(std::uint64_t slice) noexcept;
    /// After a new, empty L2 table was written and linked from the L1 table in the file: `slice`
    /// and its neighbours are in the cache without being read.
    void install_table(std::uint64_t slice, std::uint64_t table) noexcept;

    static constexpr std::uint8_t kMaxUses = 3;
    static constexpr std::size_t kMaxRuns = 128;  ///< of one find_runs()

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
    /// A read of a slice, and perhaps of some that follow it.
    struct SliceRead {
        FileOffset at;
        std::uint32_t slices = 1;
        std::uint64_t version = 0;  ///< of the place, when the read started
        AlignedBuffer memory;       ///< for what is read, and behind it for what is decoded

        Result<void> check_memory() const noexcept {
            if (memory.data() != nullptr) return {};
            return std::unexpected(Error::out_of_memory());
        }
        std::span<std::byte> raw() noexcept { return memory.span().first(memory.size() / 2); }
        std::span<Entry> entries() noexcept {
            const auto behind = memory.span().subspan(memory.size() / 2);
            return {reinterpret_cast<Entry*>(behind.data()), behind.size() / sizeof(Entry)};
        }
    };
    TableCache(BlockFile& file, SharedBudget& budget, const Geometry& geometry,
               const EntryDecoder& judge, const SliceAddressing& addressing,
               const TableCacheOptions& options);

    /// A Mapping in two registers: returned in memory it would cost a hit a quarter of its time.
    struct Found {
        static constexpr std::uint64_t kNotData = std::uint64_t{1} << 63;
        std::uint64_t where = kNotData;  ///< file offset, or kNotData and the kind
        std::uint64_t length = 0;

        static Found in_file(std::uint64_t offset, std::uint64_t length) noexcept {
            return {offset, length};
        }
        static Found not_data(Mapping::Kind kind, std::uint64_t length) noexcept {
            return {kNotData | static_cast<std::uint64_t>(kind), length};
        }
        Mapping mapping() const noexcept {
            if ((where & kNotData) == 0) return Mapping::in_place(FileOffset{where}, length);
            return Mapping::without_data(static_cast<Mapping::Kind>(where & 0xff), length);
        }
    };

    // Readers (table_cache.cpp): no lock.
    Found find_likely(GuestOffset at, std::uint64_t length) noexcept;
    Found find_ranked(GuestOffset at, std::uint64_t length) noexcept;
    Found find_any(GuestOffset at, std::uint64_t length) noexcept;
    Found find_again(GuestOffset at, std::uint64_t length) noexcept;
    Found found_one(Entry entry, GuestOffset at, std::uint64_t length) const noexcept;
    Found find_in_l1(GuestOffset at, std::uint64_t length) const noexcept;
    Found find_in_word(SliceWord word, GuestOffset at, std::uint64_t length) const noexcept;
    std::size_t split_runs(std::span<const Entry> entries, std::uint64_t in_cluster,
                           std::uint64_t length, std::span<Mapping> runs) const noexcept;
    void note_use(DirectoryBlock& leaf, std::uint32_t slot) const noexcept;
    std::uint32_t run_length(SliceWord word, std::uint32_t index, std::uint32_t limit,
                             Entry first) const noexcept;
    DirectorySlot& place_of(std::uint64_t slice) const noexcept {
        return places_[addressing_.place_of_slice(slice)];
    }
    std::uint32_t slot_of(std::uint64_t slice) const noexcept {
        return addressing_.slot_of_slice(slice);
    }

    // The miss path (table_loader.cpp).
    bool pin_or_join(std::uint64_t slice, PinRequest& request, PendingLoad& load) noexcept;
    SliceRead prepare_read(std::uint64_t slice, Entry table) noexcept;
    Result<bool> commit_read(std::uint64_t slice, SliceRecord& record, PendingLoad& load,
                             SliceRead& read) noexcept;
    Result<bool> commit_load(SliceRecord& record, PendingLoad& load,
                             const EncodedSlice& encoded) noexcept;
    void fail_load(SliceRecord& record, PendingLoad& load, const Error& error) noexcept;
    void end_load(SliceRecord& record, PendingLoad& load) noexcept;
    void commit_ahead(std::uint64_t slice, const EncodedSlice& encoded,
                      std::uint64_t version) noexcept;

    // Pins and updates (slice_records.cpp).
    void release(SliceRecord& record) noexcept;
    bool is_detached(const SliceRecord& record) const noexcept;
    // From here on with the budget's lock held.
    DirectoryBlock* leaf_for(std::uint64_t slice) noexcept;
    /// The first leaf at or behind this place, or null.
    DirectoryBlock* leaf_from(std::uint64_t place) const noexcept;
    DirectoryBlock* make_leaf() noexcept;
    void free_leaf(DirectoryBlock& leaf) noexcept;
    void free_with_slices(DirectoryBlock& leaf) noexcept;
    DirectoryBlock* find_leaf(std::uint64_t slice) const noexcept {
        return place_of(slice).leaf.load(std::memory_order_relaxed);
    }
    SliceRecord* record_for(DirectoryBlock& leaf, std::uint32_t slot) noexcept;
    void pin_record(SliceRecord& record) noexcept;
    void unpin(SliceRecord& record) noexcept;
    void forget_record(SliceRecord& record) noexcept;
    void leave_leaf(const SliceRecord& record) noexcept;
    void delete_record(SliceRecord& record) noexcept;
    bool store(SliceRecord& record, const EncodedSlice& encoded) noexcept;
    void set_word(DirectoryBlock& leaf, std::uint32_t slot, SliceWord word) noexcept;
    void free_payload(SliceWord word) noexcept;
    void drop_slot(DirectoryBlock& leaf, std::uint32_t slot) noexcept;
    void detach(SliceRecord& record) noexcept;
    void evict_record(SliceRecord& record) noexcept;
    void evict_leaf(DirectoryBlock& leaf) noexcept;
    /// Ages some leaves from this place on. Returns where to go on; 0: that was all.
    std::uint64_t release_unused(std::uint64_t place) noexcept;
    void release_unused(DirectoryBlock& leaf) noexcept;
    void enter_place(DirectoryBlock& leaf) noexcept;
    void leave_place(std::uint64_t index) noexcept;
    void advance(DirectorySlot& place) noexcept;
    void add_to(CacheStats& stats) const noexcept;
    bool is_limited() const noexcept { return share_ == &own_share_; }

    // What a hit needs, together.
    ZeroedArray<DirectorySlot> places_;
    SliceAddressing addressing_;
    SliceShape shape_;
    BlockFile& file_;
    SharedBudget& budget_;
    const EntryDecoder& decoder_;
    const Geometry geometry_;
    std::uint32_t readahead_ = 1;
    ZeroedArray<std::atomic<Entry>> l1_;
    CacheCounters counters_;
    // For the one writer, without a lock:
    std::unique_ptr<SliceUpdater> updater_;
    // Guarded by the budget's lock:
    CacheShare own_share_;
    CacheShare* share_;
    std::uint64_t leaf_limit_ = 0;               // no leaf at or above this index
    ZeroedArray<std::uint16_t> leaves_in_page_;  // of places_
    std::uint64_t changes_ = 0;                  // the latest version of any place
    /// A reader that goes through the image in order.
    struct Stream {
        std::uint64_t next = ~std::uint64_t{0};
        std::uint32_t slices = 1;  ///< of its latest read
    };
    std::array<Stream, 4> streams_;
    std::size_t oldest_stream_ = 0;
    std::uint64_t slices_ = 0;
    std::uint64_t pinned_ = 0;
    std::uint64_t loads_ = 0;
    std::uint64_t id_ = 0;        // ascending in the order in which caches were made
    TableCache* next_ = nullptr;  // in the budget's list
    TableCache* previous_ = nullptr;
};

}  // namespace qed
