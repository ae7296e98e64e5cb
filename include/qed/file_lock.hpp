// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "qed/error.hpp"

namespace qed {

/// What a program does with an image file, as other programs must know (docs/format.md section 5).
enum class LockRole : std::uint8_t {
    writer,
    reader,
    shared_reader,  ///< reads beside a writer, at its own risk
    creator,        ///< makes or truncates the file
};

/// Byte-range locks on an image file, shared with QEMU. They belong to the open file description:
/// closing the descriptor lets them go.
class FileLock {
public:
    /// Takes the locks of `role` on `descriptor`, or nothing. Never waits.
    /// \errors locked (names who is in the way and how to look anyway), io_error; file systems
    ///         without locks succeed
    static Result<void> acquire(int descriptor, LockRole role, std::string_view file_name);
    static void release(int descriptor) noexcept;
};

}  // namespace qed
