// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "cli/commands.hpp"

int main(int argc, char** argv) {
    qed::cli::Console console(stdout, stderr);
    return qed::cli::run_program(argc, argv, console);
}
