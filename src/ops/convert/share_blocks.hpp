// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

struct BlockRange {
    BlockFile* file = nullptr;
    FileOffset offset{};
    std::uint64_t length = 0;
};

/// Makes the blocks at `at` in `to` share those of `from` (a reflink). Returns false if these files
/// or this range cannot share blocks; then nothing was changed, and the caller copies instead.
/// \errors io_error, no_space
Result<bool> share_blocks(const BlockRange& from, BlockFile& to, FileOffset at);

}  // namespace qed
