// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_buffer.hpp"
#include "cache/entry_decoder.hpp"
#include "cache/level_one.hpp"
#include "cache/read_ahead.hpp"
#include "cache/slice_store.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

struct PinRequest;

/// The miss path: one read for all requests that miss the same slice, then decode, encode, commit.
/// Takes the budget's lock itself, and never holds it over I/O.
class SliceLoader {
public:
    /// The parts that a loader uses; all of them outlive the loader.
    struct Parts {
        BlockFile& file;
        MemoryBudget& budget;
        const LevelOne& level_one;
        SliceDirectory& directory;
        SliceStore& store;
        const EntryDecoder& decoder;
        CacheCounters& counters;
    };
    SliceLoader(const Parts& parts, std::uint32_t readahead_slices) noexcept
        : parts_(parts), read_ahead_(readahead_slices) {}

    /// Pins the slice; reads it if it is not in memory. Returns an empty SliceRef if the L1 entry
    /// names no table.
    /// \errors io_error, out_of_memory
    Task<Result<SliceRef>> pin(std::uint64_t slice);

private:
    struct PinAwaiter;
    /// A read of a slice, and perhaps of slices that follow it.
    struct SliceRead {
        FileOffset at;
        std::uint32_t slices = 1;
        std::uint64_t version = 0;  ///< of the directory slot, when the read started
        std::size_t raw_bytes = 0;
        std::size_t entry_bytes = 0;
        AlignedBuffer memory;  ///< for what is decoded, and after it for what is read

        void allocate(const SliceAddressing& addressing) noexcept;

        Result<void> check_memory() const noexcept {
            if (memory.data() != nullptr) return {};
            return std::unexpected(Error::out_of_memory());
        }
        std::span<std::byte> raw() noexcept {
            return memory.span().subspan(entry_bytes, raw_bytes);
        }
        std::span<Entry> entries() noexcept {
            return {reinterpret_cast<Entry*>(memory.data()), entry_bytes / sizeof(Entry)};
        }
        /// Where one slice is encoded, once all are decoded.
        std::span<std::uint64_t> words(std::size_t count) noexcept {
            auto* const after = memory.span().subspan(entry_bytes).data();
            return {reinterpret_cast<std::uint64_t*>(after), count};
        }
    };

    bool pin_or_join(std::uint64_t slice, PinRequest& request, PendingLoad& load) noexcept;
    SliceRead prepare_read(std::uint64_t slice, Entry table) noexcept;
    Result<bool> commit_read(std::uint64_t slice, SliceRecord& record, PendingLoad& load,
                             SliceRead& read) noexcept;
    Result<bool> commit_load(SliceRecord& record, PendingLoad& load,
                             const EncodedSlice& encoded) noexcept;
    void commit_ahead(std::uint64_t slice, const EncodedSlice& encoded,
                      std::uint64_t version) noexcept;
    void fail_load(SliceRecord& record, PendingLoad& load, const Error& error) noexcept;

    const Parts parts_;
    ReadAhead read_ahead_ QED_GUARDED_BY(budget_lock);
};

}  // namespace qed
