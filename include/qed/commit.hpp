// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"
#include "qed/progress.hpp"

namespace qed {

struct CommitOptions {
    /// The file of the chain that receives the content, by its path or by the name that a header
    /// has for it. Null: the backing file of the image.
    const char* base = nullptr;
    /// Do not empty the image afterwards. Implied when the base is below the backing file of the
    /// image.
    bool keep_overlay = false;
    bool direct = false;        ///< O_DIRECT for the file that receives the content
    bool sync = false;          ///< each of its writes is durable when it completes
    bool ignore_flush = false;  ///< it is not flushed: a power cut may then lose content
    BackingPolicy backing{};    ///< for the chain. Longer chains than `depth_limit` are committed,
                                ///< up to kMaxBackingDepth layers: a commit can shorten a chain
    LockMode lock = LockMode::normal;  ///< normal or none
    Progress progress;                 ///< in bytes
};
static_assert(std::is_trivially_destructible_v<CommitOptions>);

struct CommitReport {
    std::uint64_t data_bytes = 0;  ///< copied or shared
    std::uint64_t zero_bytes = 0;
    std::string base_path;          ///< the file that received the content
    bool is_overlay_empty = false;  ///< a new, empty overlay took the image's place
    /// Layers between the image and the base. Opened on its own, each of them now shows other
    /// content.
    std::vector<std::string> changed_layers;
};

/// Copies the content of the image at `path` and of the layers down to `options.base` into that
/// base, which grows if the image is larger. Then replaces the image by an empty overlay; its guest
/// sees the same bytes as before. Other overlays of the base, and of the layers between, see other
/// content.
///
/// No other process may use the image, and none may write to the base or to the layers between.
/// Blocks.
/// After a crash the image has all its content, over a base that holds a part of it, or the result
/// is complete. The guest sees the same bytes in both cases, and the commit can be run again.
/// \errors invalid_argument (no backing file), not_found (`base` is not in the chain), locked,
///         needs_check (a layer was not closed cleanly), backing_refused, cancelled, no_space, and
///         those of reading and writing
/// \cost   one read of each byte that the committed layers hold, and at most one write
QED_API Result<CommitReport> commit(const std::string& path, const CommitOptions& options = {});

}  // namespace qed
