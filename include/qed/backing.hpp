// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// A program should advise its user to shorten a chain that has more backing files than this.
inline constexpr unsigned kLongChain = 64;

/// The path of the file that the header of the image at `image_path` calls `name`. A relative name
/// starts at the image's folder, and `file:` before a path means that path.
QED_API std::string resolve_backing_name(const std::string& image_path, std::string_view name);

/// The reverse of backing_path(): the name that the header of the image at `image_path` needs to
/// name `base`, a path. The name stays valid if both files are moved together. The function reads
/// folders and links, not the files.
QED_API std::string backing_name_for(const std::string& image_path, const std::string& base);

/// Checks, before an image at `image_path` is put on top of the chain that begins at
/// `backing_path`, that the result could be opened. Files that cannot be read end the check.
/// \param must_be_clean  a backing file that was not closed cleanly is refused: nothing repairs it
/// \errors invalid_argument  the chain leads to `image_path` itself, or would as soon as there is a
///                           file of that name
///         backing_refused   more than `depth_limit` backing files
///         needs_check       see `must_be_clean`
QED_API Result<void> check_new_backing(const std::string& image_path,
                                       const std::string& backing_path, BackingFormat format,
                                       unsigned depth_limit, bool must_be_clean);

/// What the headers of a chain say about the backing files of an image.
struct BackingSummary {
    unsigned layers = 0;         ///< backing files below the image that can be read
    std::string name;            ///< of the first one, as the image's header has it; empty: none
    bool leaves_folder = false;  ///< the first one is outside the image's folder and the folders
                                 ///< below: BackingRule::same_directory refuses to open it
};

/// Reads the headers of the image at `image_path` and of the files below it.
/// Takes no locks: what it says about files in use may be old.
/// \errors those of opening and reading the image itself; a backing file that cannot be read is
///         the end of the chain
/// \cost   one read of each layer
QED_API Result<BackingSummary> summarize_backing(const std::string& image_path);

}  // namespace qed
