// SPDX-License-Identifier: Apache-2.0
#include "cli/serve/sandbox_option.hpp"

#include "sandbox/sandbox.hpp"

namespace qed::cli {

void add_sandbox_option(CLI::App& app, SandboxArgs& args) {
    app.add_option("--sandbox", args.mode, "Give up all rights but open files: auto, on, off")
        ->check(CLI::IsMember({"auto", "on", "off"}))
        ->type_name("MODE");
}

Result<void> enter_sandbox(const SandboxArgs& args, std::vector<std::string> naming_folders) {
    const auto mode = sandbox::parse_mode(args.mode);
    if (!mode) return std::unexpected(mode.error().clone());
    sandbox::Needs needs;
    needs.naming_folders = std::move(naming_folders);
    if (auto entered = sandbox::enter(*mode, needs); !entered) return pass(entered);
    return {};
}

}  // namespace qed::cli
