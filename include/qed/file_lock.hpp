// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed {

/// What a process does with an image file; its locks tell other processes (docs/format.md
/// section 5).
enum class LockRole : std::uint8_t {
    none,  ///< takes and tests no locks
    writer,
    reader,
    shared_reader,  ///< reads while another process may write; may see inconsistent data
    creator,        ///< creates or truncates the file
};

/// How the image file and its backing files are locked against other processes.
enum class LockMode : std::uint8_t {
    normal,        ///< readers share the image, a writer excludes all other processes
    force_shared,  ///< read-only while another process may write; may read inconsistent data
    none,          ///< no locks: two writers destroy the image
};

/// The role of a process that opens a file in this mode.
constexpr LockRole lock_role(LockMode mode, bool writable) noexcept {
    if (mode == LockMode::none) return LockRole::none;
    if (writable) return LockRole::writer;
    return mode == LockMode::force_shared ? LockRole::shared_reader : LockRole::reader;
}

}  // namespace qed
