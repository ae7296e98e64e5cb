// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "chain/layer.hpp"
#include "formats/qed/header_info.hpp"

namespace qed {

/// Opens the QED image in `file`. For writing, an image that was not closed cleanly is repaired
/// first, and every table is read once.
///
/// \param info  the result of read_header() for `file`
/// \errors read_only, needs_check, those of read_header(), io_error, out_of_memory
Task<Result<std::shared_ptr<Layer>>> open_qed(std::unique_ptr<BlockFile> file, HeaderInfo info,
                                              std::shared_ptr<Layer> backing, OpenOptions options);

}  // namespace qed
