// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "qed/error.hpp"

namespace qed::cli {

/// --sandbox, for commands that read untrusted files.
struct SandboxArgs {
    std::string mode = "auto";
};
void add_sandbox_option(CLI::App& app, SandboxArgs& args);

/// Call this when all files are open and before threads are started.
/// \param naming_folders  folders in which output files still have to get their names
Result<void> enter_sandbox(const SandboxArgs& args, std::vector<std::string> naming_folders = {});

}  // namespace qed::cli
