// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace qed::nbdkit {

/// Refuses clients while few descriptors are left. Without it nbdkit's accept() fails when there is
/// none, and nbdkit repeats it, with a message, as fast as the processor can.
class ClientLimit {
public:
    /// Whether a client that has just connected may stay. Says once why clients are refused, and
    /// again after a client could stay. Any thread may call this.
    bool admits() noexcept;

private:
    std::atomic<bool> has_said_{false};
};

}  // namespace qed::nbdkit
