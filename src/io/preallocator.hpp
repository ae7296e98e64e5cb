// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/block_file.hpp"
#include "qed/units.hpp"

namespace qed {

/// Lets the file system reserve space for data that is about to be written, if that makes the
/// writes cheaper: otherwise ext4 accounts for each block of 4 KiB separately. This is a hint and
/// never fails: data is written even if its space could not be reserved, or the write reports the
/// error. See docs/adr/0015-convert-data-path.md.
class Preallocator {
public:
    /// \param wanted  false if the file has stored data: reserving space could conflict with it
    Preallocator(BlockFile& file, bool wanted) noexcept;

    /// Do not call it for holes: the range occupies space on the disk afterwards.
    void reserve(FileOffset at, std::uint64_t length) noexcept;

private:
    BlockFile& file_;
    bool pays_;
};

}  // namespace qed
