// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/terminal/options.hpp"

namespace qed::cli {

void add_create(CLI::App& app, Console& console);
void add_info(CLI::App& app, Console& console);
void add_map(CLI::App& app, Console& console);
void add_check(CLI::App& app, Console& console);
void add_convert(CLI::App& app, Console& console);
void add_compare(CLI::App& app, Console& console);
void add_resize(CLI::App& app, Console& console);
void add_rebase(CLI::App& app, Console& console);
void add_commit(CLI::App& app, Console& console);
void add_snapshot(CLI::App& app, Console& console);
void add_clone(CLI::App& app, Console& console);
void add_dump(CLI::App& app, Console& console);
void add_measure(CLI::App& app, Console& console);
void add_dd(CLI::App& app, Console& console);
void add_bench(CLI::App& app, Console& console);
void add_compact(CLI::App& app, Console& console);
void add_serve(CLI::App& app, Console& console);
/// Commands of qemu-img that do not apply to QED images. Their messages say what to do instead.
void refuse_amend(CLI::App& app, Console& console);
void refuse_bitmap(CLI::App& app, Console& console);

/// The program: parses the arguments, runs the command, and returns the exit status.
int run_program(int argc, const char* const* argv, Console& console);

}  // namespace qed::cli
