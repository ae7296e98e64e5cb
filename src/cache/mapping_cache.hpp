// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cache/entry.hpp"
#include "cache/entry_decoder.hpp"
#include "cache/level_one.hpp"
#include "cache/mapping_reader.hpp"
#include "cache/memory_budget.hpp"
#include "cache/slice_directory.hpp"
#include "cache/slice_evictor.hpp"
#include "cache/slice_loader.hpp"
#include "cache/slice_store.hpp"
#include "cache/slice_writer.hpp"
#include "cache/table_shape.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

// THE MAPPING CACHE
//
// Translates guest offsets to file offsets from memory. An image's second-level tables are cached
// in slices of (by default) 512 entries. All caches of a process share one budget in bytes.
//
//   find()  -> MappingReader -> SliceDirectory     hit: no lock
//   load()  -> SliceLoader   -> SliceStore         miss: one read for all that wait
//   publish(), drop(), ...   -> SliceWriter        the image's one writer, after its write
//   MemoryBudget -> EvictionClient = SliceEvictor  what leaves, and when
//
// STATES OF A SLICE. The directory has a 64-bit word for each slice. A slice has a record if the
// word is not enough. Record and word change under the budget's lock only.
//
//   absent      word 0, no record. Readers ask load().
//   loading     word 0, record with a PendingLoad. Others that miss wait for this load.
//   inline      the word holds the content (all entries equal, or consecutive clusters). A record
//               exists only while the slice is pinned. The slice leaves with its directory block.
//   stored      the word points to a payload; the record is in an eviction queue.
//   pinned      inline or stored, pins > 0: is not evicted. Updates need a pin.
//   detached    dropped while it was pinned: no longer in the directory; freed with its last pin.
//
//   absent -> loading            the first miss                        SliceLoader::pin_or_join
//   loading -> pinned            read, decoded, stored                 SliceLoader::commit_load
//   loading -> absent            read failed, or a change overtook it  fail_load, commit_load
//   pinned <-> inline, stored    unpin, pin                            SliceStore
//   stored -> absent             evicted                               SliceStore::evict
//   inline, stored -> absent     dropped, or the table went            SliceWriter::drop_slice
//   pinned -> detached           the same, with pins                   SliceStore::detach
//   absent -> inline             a new, empty table was written        SliceWriter::install_table
//
// A load is never committed after a change: an update needs a pin, which a loading slice does not
// give; a drop or a new L1 entry marks the load as overtaken; a slice that was read ahead is stored
// only if the version of its slot is the one that it had when the read began.
//
// WHY A HIT NEEDS NO LOCK. A reader makes five loads. It trusts the result only if the last load
// returns the same version as the first one:
//
//   v = slot.version   b = slot.block   w = b.words[i]   e = payload(w)[entry]   slot.version == v?
//
// Meanwhile the holder of the lock may evict the slice and use its payload for another one. It does
// so in this order: (1) it replaces the word, (2) it gives the slot a version that was never used
// before, (3) it frees the payload, (4) the payload is filled again. All loads but the last are
// acquires, all these stores are releases. A reader that saw anything of (4) therefore finds the
// version of (2), or a later one, in its last load. If its first load found that version already,
// it cannot have got the old word. Versions are 64 bits from one counter, so that none is used
// twice. Freed memory stays mapped and of the same kind while the budget lives, so that a reader
// that is too late reads a wrong value of this cache, and no memory of another kind. docs/cache.md
// has the argument in full, tests/spin/hit_path.pml checks every order of the steps,
// tests/sim/cache_linearizability_test.cpp every result.
//
// No writer waits for readers. Epochs or hazard pointers would tell a writer when the last reader
// has left. The writer does not need this, because a reader detects the change itself.
//
// COSTS
//   hit         about 70 instructions, 3 cache lines (slot, word, payload; 5 in sparse and runs),
//               no system call, no shared line written: use counts stop at 3, counters are per
//               thread
//   miss        one read of a slice (4 KiB), the lock three times, decode and encode about
//               1 ns an entry, one coroutine frame
//   update      one lock; in place for raw forms, else of the order of the payload's size
//   eviction    a few list operations under the lock; none in a lookup
//   memory      a directory page and a block for each 64 slices (0.63 MiB for 1 TiB), 48 bytes a
//               record, a payload of up to 4 (raw64: 8) bytes an entry; 8 bytes for each table
class MappingCache {
public:
    struct Options {
        std::uint32_t readahead_slices = 8;
        std::uint64_t limit_bytes = 0;  ///< of the budget for this cache alone; 0: all of it
    };
    /// \errors out_of_memory
    static Result<std::unique_ptr<MappingCache>> create(BlockFile& file, MemoryBudget& budget,
                                                        const TableShape& tables,
                                                        const EntryDecoder& decoder,
                                                        const Options& options);
    /// No request is in flight and no pin is left.
    ~MappingCache();
    MappingCache(const MappingCache&) = delete;
    MappingCache& operator=(const MappingCache&) = delete;

    static constexpr std::size_t kMaxRuns = MappingReader::kMaxRuns;

    const SliceAddressing& addressing() const noexcept { return directory_.addressing(); }
    const LevelOne& level_one() const noexcept { return level_one_; }
    std::uint32_t slice_bytes() const noexcept { return addressing().slice_bytes(); }
    std::uint64_t slice_index(GuestOffset at) const noexcept { return addressing().slice(at); }
    std::uint64_t slice_in_table(std::uint64_t slice) const noexcept {
        return addressing().index_in_table(slice);
    }
    std::uint64_t l1_index_of(std::uint64_t slice) const noexcept {
        return addressing().table_of(slice);
    }
    Entry l1(std::uint64_t index) const noexcept { return level_one_.entry(index); }
    std::uint64_t l1_capacity() const noexcept { return level_one_.capacity(); }

    /// The first extent of the range [at, at + length), length > 0, from the tables in memory. Any
    /// thread; no lock, no I/O.
    Mapping find(GuestOffset at, std::uint64_t length) noexcept {
        return reader_.find(at, length).mapping();
    }
    /// Consecutive results of find(), at most as many as `runs` has elements. Much cheaper than one
    /// call for each if there are many.
    /// \returns the number of results; 0: ask find()
    std::size_t find_runs(GuestOffset at, std::uint64_t length, std::span<Mapping> runs) noexcept {
        return reader_.find_runs(at, length, runs);
    }
    /// find() after reading the slice from the file if it is not in memory. Misses of the same
    /// slice share one read; a hit on another slice never waits for it.
    /// \errors io_error, out_of_memory
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length);
    /// Pins the slice; reads it if it is not in memory. Returns an empty SliceRef if the L1 entry
    /// names no table.
    /// \errors io_error, out_of_memory
    Task<Result<SliceRef>> pin(std::uint64_t slice) { return loader_.pin(slice); }
    /// Pins the slice only if it is in memory.
    SliceRef try_pin(std::uint64_t slice) noexcept { return store_.try_pin(slice); }

    // For the only writer of the image.

    /// Publishes entries after their write to the file has succeeded: readers see them afterwards.
    /// Returns false if there is no memory; then nothing has changed.
    bool publish(const SliceRef& slice, std::uint32_t first,
                 std::span<const Entry> entries) noexcept {
        return writer_.publish(slice, first, entries);
    }
    /// After a failed write the content of the file is unknown. Drops the slice, so that the next
    /// request reads it again. Its pins keep the old content.
    void drop(std::uint64_t slice) noexcept { writer_.drop(slice); }
    /// After a new, empty L2 table was written and linked from the L1 table in the file: `slice`
    /// and its neighbours are in the cache without being read.
    void install_table(std::uint64_t slice, Entry table) noexcept {
        writer_.install_table(slice, table);
    }
    /// For open, resize and the writer, after the file has the same entry. If the entry named
    /// another table before, the slices of that table leave the cache, and a read of one that is in
    /// progress is not committed.
    void set_l1(std::uint64_t index, Entry table) noexcept { writer_.set_l1(index, table); }

    /// The part of this cache; limit and bytes are those of the budget.
    CacheStats stats() const;

private:
    MappingCache(BlockFile& file, MemoryBudget& budget, const TableShape& tables,
                 const EntryDecoder& decoder, const Options& options);

    MemoryBudget& budget_;
    LevelOne level_one_;
    SliceDirectory directory_;
    MappingReader reader_;
    SliceStore store_;
    SliceEvictor evictor_;
    SliceLoader loader_;
    SliceWriter writer_;
    CacheCounters counters_;
};

}  // namespace qed
