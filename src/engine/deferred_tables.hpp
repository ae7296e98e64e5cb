// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/table_committer.hpp"

namespace qed {

/// Table updates that wait in memory for the next flush (deferred order). Their slices are pinned,
/// so that readers find them. They are written to the file only after the data that they name is
/// durable. The caller holds the committer's table lock.
class DeferredTables {
public:
    DeferredTables(const TableCommitter::Parts& parts, const TableLayout& layout)
        : parts_(parts), layout_(layout) {}

    bool empty() const noexcept { return slices_.empty() && tables_.empty(); }
    /// Table bytes in memory that are not in the file yet.
    std::uint64_t bytes() const noexcept {
        return slices_.size() * std::uint64_t{parts_.cache.slice_bytes()};
    }

    /// Clusters that become free when all waiting updates are in the file.
    std::uint64_t freed_clusters() const noexcept { return freed_.size(); }

    /// Reserves memory for so many calls of add_table(), which then cannot fail.
    void reserve_tables(std::size_t count) { tables_.reserve(tables_.size() + count); }
    /// A table that no L1 entry in the file names yet.
    void add_table(std::uint64_t l1_index, FileOffset offset);
    /// Keeps a pin of its own on the update's slice, and reserves memory for free_replaced().
    /// \errors corrupt_metadata if one of its sectors cannot be written back, out_of_memory
    Result<void> add(const TableUpdate& update);
    /// The clusters that the last added update has replaced; they become free when the file no
    /// longer names them.
    void free_replaced(std::span<const Entry> old_entries) noexcept;

    struct Written {
        std::uint64_t writes = 0;
        std::uint64_t bytes = 0;
    };
    /// The counts of what was written to the file since the last call.
    Written take_written() noexcept { return std::exchange(written_, {}); }

    /// Writes the content of new tables, flushes, then writes sectors of other tables and of the L1
    /// table. A caller that promises durability flushes once more. After a failure all updates
    /// still wait.
    Task<Result<void>> write_out(FlushGroup& flushes);

private:
    struct Waiting {
        SliceRef pin;
        std::bitset<65536 / 512> sectors;
    };
    struct NewTable {
        std::uint64_t l1_index = 0;
        FileOffset offset{};
    };
    bool is_new(std::uint64_t slice) const noexcept;
    Task<Result<void>> write_slices(bool of_new_tables);
    Task<Result<void>> write_slice(std::uint64_t slice, const Waiting& waiting,
                                   std::span<std::byte> buffer);
    Task<Result<void>> write_l1_sectors();
    void count_write(std::uint64_t bytes) noexcept;
    std::uint32_t unit() const noexcept;

    const TableCommitter::Parts& parts_;
    const TableLayout& layout_;
    std::map<std::uint64_t, Waiting> slices_;
    std::vector<NewTable> tables_;
    std::size_t linked_ = 0;         // the file may name so many of them, after a failed attempt
    std::vector<FileOffset> freed_;  // clusters that the file still names
    Written written_;
};

}  // namespace qed
