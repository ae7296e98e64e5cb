// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "qed/error.hpp"

namespace qed {

/// Gives a new file the extended attributes of the file that it replaces, including the access
/// list; if that file has no access list, the new file has none either. Both files are open; `path`
/// is for messages. Attributes that only the system or an administrator may set are copied if the
/// system allows it.
/// \errors those of an attribute that cannot be kept
Result<void> copy_attributes(int from, int to, const std::string& path);

}  // namespace qed
