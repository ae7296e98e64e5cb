// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "coro/async_mutex.hpp"
#include "engine/dirty_marker.hpp"
#include "engine/flush_group.hpp"
#include "qed/block_file.hpp"
#include "qed/header.hpp"
#include "qed/task.hpp"

namespace qed {

/// The header of an open image: what the file says, and the order in which it may be changed.
/// Changes are made by whoever holds the committer's table lock; the questions with a yes or no are
/// for anybody at any time.
class HeaderStore final : public DirtyMarker {
public:
    HeaderStore(BlockFile& file, FlushGroup& flushes) : file_(file), flushes_(flushes) {}

    /// At open, before anything else.
    void start_with(const Header& header);
    /// For whoever holds the committer's table lock, or has the image alone.
    const Header& header() const noexcept { return header_; }
    /// For everybody else.
    Header copy() const;
    bool has_backing() const noexcept { return has_backing_.load(std::memory_order_relaxed); }
    /// NEED_CHECK is set, durably: entries may get ahead of what they name.
    bool is_dirty() const noexcept override { return dirty_.load(std::memory_order_acquire); }

    /// Sets NEED_CHECK and flushes, once: after it, table entries may be written ahead of data.
    Task<Result<void>> set_dirty() override;
    /// Flushes, clears NEED_CHECK, flushes. Does nothing when it is not set.
    Task<Result<void>> clear_dirty();

    /// Writes `changed` to the file; on success it is the header.
    Task<Result<void>> replace(Header changed);

private:
    void adopt(const Header& header) noexcept;

    BlockFile& file_;
    FlushGroup& flushes_;
    mutable std::mutex mutex_;  // guards header_ between its writer and those who copy it
    Header header_;
    std::atomic<bool> has_backing_{false};
    std::atomic<bool> dirty_{false};
};

}  // namespace qed
