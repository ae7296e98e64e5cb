// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "coro/async_mutex.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// Makes the image file longer, ahead of use and in chunks: new space reads as zeroes, and a table
/// entry must not name a cluster past the end of the file.
class FileExtender {
public:
    explicit FileExtender(BlockFile& file) : file_(file) {}
    void start_at(std::uint64_t file_bytes) noexcept { bytes_.store(file_bytes); }
    std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_acquire); }
    /// The file is at least `end` bytes long when it succeeds; often it is already, see bytes().
    Task<Result<void>> extend_to(std::uint64_t end);
    /// Cuts the file to `end`; nothing else may be using it.
    Task<Result<void>> cut(std::uint64_t end);

private:
    BlockFile& file_;
    AsyncMutex mutex_;  // one change of the length at a time
    std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace qed
