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

/// Makes `length` bytes of `to` share the blocks of `from` (a reflink). False: these files or this
/// range cannot share, nothing was changed, copy instead.
/// \errors io_error, no_space
Result<bool> share_blocks(const BlockRange& from, BlockFile& to, FileOffset at);

}  // namespace qed
