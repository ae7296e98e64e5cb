// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sandbox/sandbox.hpp"

namespace qed::sandbox {

/// Forbids the calling thread all files but those of `needs`, and, where the kernel is new enough,
/// TCP, abstract unix sockets and signals to others. \returns what could not be done, in words
Result<Missing> restrict_files(const Needs& needs);

}  // namespace qed::sandbox
