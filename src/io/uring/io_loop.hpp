// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "io/transfer.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// State of a file that running a request needs. Lives as long as the file.
struct FileState {
    int descriptor = -1;
    std::uint32_t block = 1;  ///< unit of transfers; greater than 1 only with O_DIRECT
    bool has_length = true;   ///< false: a device
    std::atomic<bool> can_punch{false};
    std::atomic<bool> can_reserve{false};
    /// The file has had this length while it was open, and we have not made it shorter since. Where
    /// it ends earlier, another process has truncated it: its bytes are lost, not zero.
    std::atomic<std::uint64_t> known_bytes{0};

    /// Takes the system's answer to the rest of a read or write, as account() of io/transfer.hpp.
    bool account(IoOp& op, std::int64_t answer) const noexcept {
        // Read after the answer: truncate lowers it before the file is shorter.
        return qed::account(op, answer, block, known_bytes.load(std::memory_order_acquire));
    }
    /// Takes the system's result (0 or a negative errno) of a request that moves no data.
    /// Returns true if it has finished, false if it was interrupted and must be repeated.
    bool settle(IoOp& op, int answer) noexcept {
        if (answer == -EINTR) return false;
        op.error = answer < 0 ? -answer : 0;
        if (op.kind == IoKind::punch && op.error == EOPNOTSUPP) {
            can_punch.store(false, std::memory_order_relaxed);
        }
        if (op.kind == IoKind::allocate && op.error == EOPNOTSUPP) {
            can_reserve.store(false, std::memory_order_relaxed);
        }
        const bool sets_length = op.kind == IoKind::truncate || op.kind == IoKind::allocate;
        if (op.error == 0 && sets_length && has_length) {
            std::uint64_t known = known_bytes.load(std::memory_order_relaxed);
            const std::uint64_t end = op.offset + op.length;
            while (known < end && !known_bytes.compare_exchange_weak(known, end)) {
            }
        }
        return true;
    }
};

/// Asynchronous I/O of an executor. Only that executor's thread may use it.
class IoLoop {
public:
    /// Whether to try reads without blocking before submitting them.
    virtual bool tries_inline_reads() const noexcept = 0;
    /// Starts `op` (no truncate: the kernel has no such request); op.complete() follows.
    virtual void submit(IoOp& op, FileState& file) noexcept = 0;
    /// Called with a request that has finished without waiting. False: its coroutine may continue
    /// at once. True: it has used its share; op.complete() follows after other requests have run.
    virtual bool take_turn(IoOp& op) noexcept = 0;

protected:
    ~IoLoop() = default;
};

}  // namespace qed
