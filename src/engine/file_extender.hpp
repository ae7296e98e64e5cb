// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "coro/async_mutex.hpp"
#include "engine/cluster_allocator.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// Extends the image file in chunks, before the space is needed. New space reads as zeroes. A table
/// entry must not name a cluster past the end of the file.
class FileExtender {
public:
    explicit FileExtender(BlockFile& file) : file_(file) {}
    void start_at(std::uint64_t file_bytes) noexcept { bytes_.store(file_bytes); }
    std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_acquire); }
    /// Makes the file at least `end` bytes long. Often it is already, see bytes().
    Task<Result<void>> extend_to(std::uint64_t end);
    /// Truncates the file before its free end. Requests may run meanwhile; those that need a longer
    /// file wait. The free clusters stay free if the storage keeps its length.
    Task<Result<void>> cut(ClusterAllocator& allocator);

private:
    Task<Result<bool>> shorten(std::uint64_t had, std::uint64_t end);

    BlockFile& file_;
    AsyncMutex mutex_;  // one change of the length at a time
    std::atomic<std::uint64_t> bytes_{0};
    bool keeps_length_ = false;  // a device, an export; guarded by mutex_
};

}  // namespace qed
