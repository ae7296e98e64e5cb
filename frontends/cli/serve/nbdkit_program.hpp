// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "qed/error.hpp"

namespace qed::cli {

/// The nbdkit that is installed.
struct NbdkitProgram {
    std::string path;
    std::string version;  ///< such as 1.32.5; empty if it states none

    /// Whether several threads may serve one connection. Before 1.34, nbdkit aborts, for all
    /// clients, when a client leaves while two threads have replies for it.
    bool has_safe_threads() const;
};

/// Finds nbdkit in PATH, or in the folders that only the PATH of root has, and asks it for its
/// version.
/// \errors not_found  no nbdkit is installed
Result<NbdkitProgram> find_nbdkit();

/// The version in the text that `nbdkit --version` prints; empty if there is none.
std::string version_in(std::string_view text);

}  // namespace qed::cli
