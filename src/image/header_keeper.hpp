// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "coro/async_mutex.hpp"
#include "image/flush_group.hpp"
#include "qed/block_file.hpp"
#include "qed/header.hpp"
#include "qed/task.hpp"

namespace qed {

/// The header of an open image: what the file says, and the order in which it may be changed.
/// Changes are made by whoever holds the committer's table lock; reading is for anybody.
class HeaderKeeper {
public:
    HeaderKeeper(BlockFile& file, FlushGroup& flushes) : file_(file), flushes_(flushes) {}

    /// At open, before anything else.
    void start_with(const Header& header);
    const Header& header() const noexcept { return header_; }
    bool is_dirty() const noexcept { return dirty_.load(std::memory_order_acquire); }

    /// Sets NEED_CHECK and flushes, once: after it, table entries may be written ahead of data.
    Task<Result<void>> set_dirty();
    /// Flushes, clears NEED_CHECK, flushes. Does nothing when it is not set, or when `keep_dirty`
    /// was called: then the next opener must check.
    Task<Result<void>> clear_dirty();
    /// Something is wrong that only a check can mend: NEED_CHECK is not cleared any more.
    void keep_dirty() noexcept { keep_dirty_.store(true, std::memory_order_release); }

    /// Writes `changed` to the file; on success it is the header.
    Task<Result<void>> replace(Header changed);

private:
    BlockFile& file_;
    FlushGroup& flushes_;
    Header header_;
    std::atomic<bool> dirty_{false};
    std::atomic<bool> keep_dirty_{false};
};

}  // namespace qed
