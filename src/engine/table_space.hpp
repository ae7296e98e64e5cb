// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/free_clusters.hpp"
#include "engine/table_committer.hpp"

namespace qed {

/// Reserves space in the file system for the tables of an image. Tables are written in sectors, so
/// their other blocks are holes otherwise, and a trim, which only changes an entry, could fail on a
/// full disk. One caller at a time. Where the storage cannot reserve space, nothing happens.
/// docs/adr/0028-table-space.md
class TableSpace {
public:
    TableSpace(const TableCommitter::Parts& parts, const TableLayout& layout)
        : parts_(parts), layout_(layout) {}

    /// Whether the file system may lack space for this slice of an existing table.
    bool may_lack(std::uint64_t slice) const noexcept;
    /// Reserves the part of a new table that the disk can use, and the sector of the L1 table that
    /// will name it. \errors no_space, io_error, out_of_memory
    Task<Result<void>> reserve_table(std::uint64_t l1_index, FileOffset at);
    /// Reserves one slice of an existing table. \errors the same
    Task<Result<void>> reserve_slice(std::uint64_t slice);

private:
    Task<Result<void>> reserve(FileOffset at, std::uint64_t bytes);

    const TableCommitter::Parts& parts_;
    const TableLayout& layout_;
    // Numbers of slices. A disk may have half a billion, so only the parts in use take memory.
    FreeClusters reserved_;
};

}  // namespace qed
