// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "qed/api.hpp"
#include "qed/error.hpp"

namespace qed {

/// What a process does with an image file; its locks tell other processes (docs/format.md
/// section 5).
enum class LockRole : std::uint8_t {
    writer,
    reader,
    shared_reader,  ///< reads while another process may write; may see inconsistent data
    creator,        ///< creates or truncates the file
};

/// Byte-range locks on an image file, compatible with QEMU's. They belong to the open file
/// description: closing the descriptor releases them.
class QED_API FileLock {
public:
    /// Takes all locks of `role` on `descriptor`, or none of them. Never waits.
    /// \errors locked (the message names the conflicting process and the option that reads anyway),
    ///         io_error. Succeeds on file systems without locks.
    static Result<void> acquire(int descriptor, LockRole role, std::string_view file_name);
    static void release(int descriptor) noexcept;
};

}  // namespace qed
