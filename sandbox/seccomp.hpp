// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sandbox.hpp"

namespace qed::sandbox {

/// Allows all threads of the process the system calls of the list in the source; all others fail
/// with EPERM. \returns the missing parts, in words
Result<Missing> restrict_calls(const Needs& needs);

}  // namespace qed::sandbox
