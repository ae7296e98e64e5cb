// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/task.hpp"

namespace qed {

/// A mark in the image file that says: the file may hold table entries whose clusters did not
/// reach the disk. The next writer checks a marked image first. NEED_CHECK in QED.
class DirtyMarker {
public:
    /// The mark is set and durable. Any thread.
    virtual bool is_dirty() const noexcept = 0;
    /// Sets the mark and flushes, unless that is done already. When it has succeeded, entries may
    /// be written ahead of what they name. The caller holds the table lock.
    virtual Task<Result<void>> set_dirty() = 0;
    /// Flushes, removes the mark, and flushes again. Does nothing without the mark. The caller
    /// holds the table lock.
    virtual Task<Result<void>> clear_dirty() = 0;

protected:
    ~DirtyMarker() = default;
};

}  // namespace qed
