// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sandbox.hpp"

namespace qed::sandbox {

/// Forbids the calling thread all files except those of `needs`. Newer kernels also forbid TCP,
/// abstract Unix sockets and signals to other processes. \returns the missing parts, in words
Result<Missing> restrict_files(const Needs& needs);

}  // namespace qed::sandbox
