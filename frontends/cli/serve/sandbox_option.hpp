// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "qed/error.hpp"

namespace qed::cli {

/// --sandbox, of commands that look at files of strangers.
struct SandboxArgs {
    std::string mode = "auto";
};
void add_sandbox_option(CLI::App& app, SandboxArgs& args);

/// To be called when everything is open, before threads are started.
/// \param naming_folders  where output files still have to get their names
Result<void> enter_sandbox(const SandboxArgs& args, std::vector<std::string> naming_folders = {});

}  // namespace qed::cli
