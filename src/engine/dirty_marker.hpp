// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/task.hpp"

namespace qed {

/// A mark in the image file: the file may hold table entries whose clusters did not reach the disk.
/// The next writer checks a marked image first. QED calls it NEED_CHECK.
class DirtyMarker {
public:
    /// Whether the mark is set and durable. Any thread.
    virtual bool is_dirty() const noexcept = 0;
    /// Sets the mark and flushes, unless the mark is set already. After success, entries may be
    /// written before the clusters that they name are durable. The caller holds the table lock.
    virtual Task<Result<void>> set_dirty() = 0;
    /// Flushes, removes the mark, and flushes again. Does nothing if the mark is not set. The
    /// caller holds the table lock.
    virtual Task<Result<void>> clear_dirty() = 0;

protected:
    ~DirtyMarker() = default;
};

}  // namespace qed
