// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sandbox.hpp"

namespace qed::sandbox {

/// Allows all threads of the process the system calls of the list in the source, and no others:
/// they fail with EPERM. \returns what could not be done, in words
Result<Missing> restrict_calls(const Needs& needs);

}  // namespace qed::sandbox
