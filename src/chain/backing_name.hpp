// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace qed {

/// `file:` before a path means that path, both in headers and in names that users give.
inline std::string_view without_file_prefix(std::string_view name) {
    if (name.starts_with("file:")) name.remove_prefix(5);
    return name;
}

}  // namespace qed
