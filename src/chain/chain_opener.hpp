// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "qed/image.hpp"

namespace qed {

/// Opens an image by its path with everything below it, under the caller's backing policy.
/// Backing files are opened read-only and locked as readers; one that is open already, for another
/// clone, is shared: its tables are in memory once.
Result<std::unique_ptr<Image>> open_chain(const std::string& path, const OpenOptions& options);

/// Opens what an image in `image_path`'s directory calls `name`.
Result<std::shared_ptr<Image>> open_backing(const std::string& image_path, const std::string& name,
                                            BackingFormat format, const OpenOptions& options);

}  // namespace qed
