// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace qed {

/// While it is closed, a write in place first takes the range lock of its clusters, so that no
/// cluster changes while the holder of that lock copies it. While it is open, the default, a write
/// in place takes no lock.
///
/// A request enters its epoch, then asks is_closed(). So the requests that have not seen the gate
/// closed are those that were in flight when it was closed: who closes it waits for their end
/// (ClusterAllocator::have_ended()) before it copies.
class WriteGate {
public:
    bool is_closed() const noexcept { return is_closed_.load(std::memory_order_seq_cst); }
    void close() noexcept { is_closed_.store(true, std::memory_order_seq_cst); }
    void open() noexcept { is_closed_.store(false, std::memory_order_seq_cst); }

private:
    std::atomic<bool> is_closed_{false};
};

}  // namespace qed
