// SPDX-License-Identifier: Apache-2.0
#include "chain/file_head.hpp"

#include <algorithm>

namespace qed {

Task<Result<FileHead>> FileHead::read(BlockFile& file) {
    const Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) co_return std::unexpected(file_bytes.error().clone());
    Result<AlignedBuffer> block = AlignedBuffer::create(kBytes, kBytes);
    if (!block) co_return pass(block);
    QED_CO_CHECK(co_await file.read(FileOffset{0}, block->span()));
    // Bytes past the end of a short file read as zeroes, and are no header.
    const std::size_t inside = std::min<std::uint64_t>(*file_bytes, kBytes);
    co_return FileHead(std::move(*block), inside);
}

}  // namespace qed
