// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"
#include "qed/progress.hpp"

namespace qed {

struct CloneOptions {
    BackingFormat base_format = BackingFormat::qed;  ///< of the base: qed or raw
    bool replace = false;                            ///< replace files that exist
    unsigned depth_limit = kDefaultBackingDepth;     ///< fail with more backing files than this
    LockMode lock = LockMode::normal;                ///< normal or none
    /// Of the clones; 0: 64 KiB. Tables have 4 clusters, or as many more as the size needs.
    std::uint32_t cluster_bytes = 0;
    Progress progress;  ///< in clones
};
static_assert(std::is_trivially_destructible_v<CloneOptions>);

/// Creates an empty overlay of the image or raw disk `base` at each of `paths`, as large as the
/// base. The function holds a reader's lock on the base until all overlays are created. Each header
/// names the base relative to the folder of the clone. Blocks.
///
/// After a crash, an error or a stop, the first clones are complete, and the other paths have their
/// old content.
/// \errors locked (the base, or a file that would be replaced), needs_check (the base was not
/// closed
///         cleanly), already_exists, invalid_argument (the base lies on a file that would be
///         replaced), backing_refused (more than `depth_limit` backing files), cancelled, no_space,
///         and those of OutputFile
/// \cost   for each clone one new file of two tables' size, and its flush; a flush of each folder
QED_API Result<void> clone(const std::string& base, std::span<const std::string> paths,
                           const CloneOptions& options = {});

}  // namespace qed
