// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/block_file.hpp"
#include "qed/units.hpp"

namespace qed {

/// Has the file system set space aside for data that is about to be written, where that makes the
/// writes cheaper: ext4 else accounts for each block of 4 KiB by itself. A hint, which never fails:
/// what cannot be reserved is written all the same, or the write says why not.
/// See docs/adr/0015-convert-data-path.md.
class Preallocator {
public:
    /// \param wanted  the file has nothing stored that would be in the way
    Preallocator(BlockFile& file, bool wanted) noexcept;

    /// Not for holes: the range takes space on the disk afterwards.
    void reserve(FileOffset at, std::uint64_t length) noexcept;

private:
    BlockFile& file_;
    bool pays_;
};

}  // namespace qed
