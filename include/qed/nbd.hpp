// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "qed/api.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// Whether a name is an NBD URI: nbd://, nbds://, nbd+unix:// and so on.
QED_API bool is_nbd_uri(std::string_view name);

struct NbdOptions {
    bool writable = false;
    unsigned connections = 4;  ///< at most; fewer where the server does not share its export
};

/// An export of an NBD server as a file. Requests block; each thread has a connection of its own
/// until `connections` are in use. The server's base:allocation context says where holes are.
/// \errors not_found (no server answers), read_only, unsupported (the server refuses, or libnbd is
///         not installed), io_error
QED_API Result<std::unique_ptr<BlockFile>> open_nbd(const std::string& uri,
                                                    const NbdOptions& options);

/// Loads libnbd now instead of in the first open_nbd(). Callable from any thread.
/// \errors unsupported: libnbd is not installed, or too old
QED_API Result<void> load_nbd();

}  // namespace qed
