// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace qed {

/// Learns from a FlushGroup what is durable. Data that was written before flush_begins() is durable
/// when flush_succeeded() is called next. After a failed flush the group does not call it. The
/// group calls both on the thread that leads the flush, one call at a time.
class FlushObserver {
public:
    virtual void flush_begins() noexcept = 0;
    virtual void flush_succeeded() noexcept = 0;

protected:
    ~FlushObserver() = default;
};

}  // namespace qed
