// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include "cli/commands/commands.hpp"

int main(int argc, char** argv) {
    // A write past the limit on file sizes must return an error instead of ending the process.
    std::signal(SIGXFSZ, SIG_IGN);
    qed::cli::Console console(stdout, stderr);
    return qed::cli::run_program(argc, argv, console);
}
