// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/table_committer.hpp"

namespace qed {

/// Moves one L2 table of an open image: copies it, makes the copy durable, then changes the L1
/// entry in the file and in memory. The caller holds the table lock, and no update waits in memory.
class TableMove {
public:
    TableMove(const TableCommitter::Parts& parts, const TableLayout& layout)
        : parts_(parts), layout_(layout) {}

    /// \param to  reserved for the table. Not free afterwards: if the write of the L1 entry fails,
    ///         the file may name either place
    Task<Result<void>> run(std::uint64_t l1_index, FileOffset to);

private:
    Task<Result<void>> copy(FileOffset from, FileOffset to);
    Task<Result<void>> link(std::uint64_t l1_index, FileOffset to);

    const TableCommitter::Parts& parts_;
    const TableLayout layout_;
};

}  // namespace qed
