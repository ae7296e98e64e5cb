// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "qed/block_file.hpp"

namespace qed {

/// What whoever runs a request must know about the file. Lives as long as the file.
struct FileState {
    int descriptor = -1;
    std::uint32_t block = 1;  ///< unit of transfers: above 1 with O_DIRECT only
    std::atomic<bool> can_punch{false};

    /// Takes the system's answer (0 or a negative errno) to a request that moves no data.
    /// True: finished. False: interrupted, ask again.
    bool settle(IoOp& op, int answer) noexcept {
        if (answer == -EINTR) return false;
        op.error = answer < 0 ? -answer : 0;
        if (op.kind == IoKind::punch && op.error == EOPNOTSUPP) {
            can_punch.store(false, std::memory_order_relaxed);
        }
        return true;
    }
};

/// Asynchronous I/O of an executor. Only for that executor's thread.
class IoLoop {
public:
    /// Whether reads shall be tried without blocking before they are submitted.
    virtual bool tries_inline_reads() const noexcept = 0;
    /// Starts `op` (no truncate: the kernel has no such request); op.complete() follows.
    virtual void submit(IoOp& op, FileState& file) noexcept = 0;
    /// Called with a request that has finished without waiting. False: its coroutine may go on at
    /// once. True: it has had its share; op.complete() follows after others have had theirs.
    virtual bool take_turn(IoOp& op) noexcept = 0;

protected:
    ~IoLoop() = default;
};

}  // namespace qed
