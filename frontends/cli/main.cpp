// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "cli/commands/commands.hpp"
#include "qed/files.hpp"
#include "sandbox/descriptor_limit.hpp"

int main(int argc, char** argv) {
    qed::cli::Interrupts::prepare();
    // Before anything is opened. With nothing to report to, the exit status says it.
    if (!qed::fill_standard_descriptors()) return qed::cli::kExitError;
    qed::sandbox::raise_descriptor_limit();
    qed::cli::Console console(stdout, stderr);
    return qed::cli::run_program(argc, argv, console);
}
