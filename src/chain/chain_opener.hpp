// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "chain/format_registry.hpp"
#include "chain/layer.hpp"
#include "qed/format.hpp"
#include "qed/open_options.hpp"
#include "qed/task.hpp"

namespace qed {

/// Opens an image by its path, with all layers below it, under the caller's backing policy. Backing
/// files are opened read-only and locked as readers. A backing file that is open already for
/// another clone is shared, so that its tables are in memory once.
Task<Result<std::shared_ptr<Layer>>> open_chain(const FormatRegistry& formats, std::string path,
                                                OpenOptions options);

/// Opens the file that an image in the directory of `image_path` names by `backing`.
Task<Result<std::shared_ptr<Layer>>> open_backing(const FormatRegistry& formats,
                                                  std::string image_path, BackingReference backing,
                                                  OpenOptions options);

}  // namespace qed
