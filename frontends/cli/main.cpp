// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include "cli/commands/commands.hpp"
#include "qed/files.hpp"

int main(int argc, char** argv) {
    // Before anything is opened. With nothing to report to, the exit status says it.
    if (!qed::fill_standard_descriptors()) return qed::cli::kExitError;
    // A write past the limit on file sizes must return an error instead of ending the process.
    std::signal(SIGXFSZ, SIG_IGN);
    qed::cli::Console console(stdout, stderr);
    return qed::cli::run_program(argc, argv, console);
}
