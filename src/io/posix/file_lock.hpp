// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "qed/error.hpp"
#include "qed/file_lock.hpp"

namespace qed {

/// Byte-range locks on an image file, compatible with QEMU's. They belong to the open file
/// description: closing the descriptor releases them.
class FileLock {
public:
    /// Takes all locks of `role` on `descriptor`, or none of them, and releases those of an earlier
    /// role. Never waits.
    /// \errors locked (the message names the conflicting process and the option that reads anyway),
    ///         unsupported (the file system has no locks, or none left), io_error
    static Result<void> acquire(int descriptor, LockRole role, std::string_view file_name);
    static void release(int descriptor) noexcept;
};

}  // namespace qed
