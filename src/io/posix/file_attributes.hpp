// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "qed/error.hpp"

namespace qed {

/// Gives a new file the extended attributes of the file that it replaces, its access list among
/// them, and no access list where that one has none. Both are open; `path` is for messages.
/// What only the system or an administrator may set is copied where that is allowed.
/// \errors those of an attribute that cannot be kept
Result<void> copy_attributes(int from, int to, const std::string& path);

}  // namespace qed
