// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "qed/block_file.hpp"

namespace qed {

/// Whether a name is an NBD URI: nbd://, nbds://, nbd+unix:// and so on.
bool is_nbd_uri(std::string_view name);

struct NbdOptions {
    bool writable = false;
    unsigned connections = 4;  ///< at most; fewer where the server does not share its export
};

/// An export of an NBD server as a file: blocking requests, each thread on a connection of its
/// own as far as there are some. Holes are what the server says of base:allocation.
/// \errors not_found (nobody answers), read_only, unsupported (the server refuses, or libnbd is not
///         installed), io_error
Result<std::unique_ptr<BlockFile>> open_nbd(const std::string& uri, const NbdOptions& options);

/// Loads libnbd now rather than in the first open_nbd(). Any thread may call.
/// \errors unsupported: libnbd is not installed, or too old
Result<void> load_nbd();

}  // namespace qed
