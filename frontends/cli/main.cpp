// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include "cli/commands/commands.hpp"

int main(int argc, char** argv) {
    // A write past the limit on file sizes is an error to report, not a reason to die.
    std::signal(SIGXFSZ, SIG_IGN);
    qed::cli::Console console(stdout, stderr);
    return qed::cli::run_program(argc, argv, console);
}
