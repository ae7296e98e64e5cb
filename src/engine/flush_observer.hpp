// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace qed {

/// Learns from a FlushGroup what has become durable: what was written before flush_begins() is
/// durable when flush_succeeded() follows. After a flush that failed it does not follow. The
/// group calls both on the thread that leads the flush, never two at once.
class FlushObserver {
public:
    virtual void flush_begins() noexcept = 0;
    virtual void flush_succeeded() noexcept = 0;

protected:
    ~FlushObserver() = default;
};

}  // namespace qed
