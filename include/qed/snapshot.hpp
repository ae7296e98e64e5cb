// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

struct SnapshotOptions {
    /// The format of the image: qed, or raw for a raw disk, over which a QED image is then put.
    BackingFormat format = BackingFormat::qed;
    unsigned depth_limit = kDefaultBackingDepth;  ///< fail with more backing files than this
    LockMode lock = LockMode::normal;             ///< normal or none
    /// Of the overlay; 0: as the image, 64 KiB over a raw disk. Tables have 4 clusters, or as many
    /// more as the size needs.
    std::uint32_t cluster_bytes = 0;
};
static_assert(std::is_trivially_destructible_v<SnapshotOptions>);

/// Freezes the image at `path`: the file gets the name `frozen_path`, and an empty overlay over it
/// takes its place. `frozen_path` must be free and on the same file system. A symbolic link at
/// `path` stays one; the file that it leads to is frozen.
///
/// No process may use the image. Blocks.
/// After a crash the path leads to the unchanged image, or the image has both names, or the result
/// is complete. On a file system without hard links the image may also have only the name
/// `frozen_path`.
/// \errors locked, needs_check (the image was not closed cleanly), already_exists (`frozen_path`),
///         invalid_argument (the chain of the image would lead to `frozen_path` itself, or the
///         image names its own backing file relative to its folder and `frozen_path` is in another
///         one), backing_refused (more than `depth_limit` backing files), not_qed, unsupported (the
///         file cannot be replaced, see OutputFile), and those of the system
/// \cost   writes one empty image; two flushes of folders
QED_API Result<void> snapshot(const std::string& path, const std::string& frozen_path,
                              const SnapshotOptions& options = {});

/// Drops everything that the image at `path` holds: an empty overlay of its backing file replaces
/// it in one step. The virtual size stays.
///
/// No process may use the image. Blocks. After a crash the path leads to the unchanged image or to
/// the empty one.
/// \errors invalid_argument (no backing file), locked, not_qed, unsupported (as above), and those
///         of the system
/// \param lock  normal or none
QED_API Result<void> revert_to_snapshot(const std::string& path, LockMode lock = LockMode::normal);

}  // namespace qed
