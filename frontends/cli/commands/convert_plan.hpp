// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/terminal/options.hpp"
#include "cli/terminal/progress.hpp"

namespace qed::cli {

/// The arguments of `qed convert`.
struct ConvertArgs {
    std::vector<std::string> files;
    std::string source_format;
    std::string target_format;
    std::vector<std::string> options;
    std::string backing;
    std::string backing_format;
    std::string sparse;
    std::string copies;
    std::string rate;
    std::string target_cache = "writeback";
    std::string source_cache = "writeback";
    std::uint64_t begin = 0;  ///< start of the part of the sources to copy
    std::uint64_t length = ~std::uint64_t{0};
    bool no_create = false;
    bool target_is_zero = false;
    bool out_of_order = false;
    bool share_blocks = false;
    bool salvage = false;
    LockArgs lock;
    BackingArgs source_backing;
    ProgressArgs progress;
};

/// Opens source and target, copies, and gives the target its name. \returns the exit status
int run_convert_command(const ConvertArgs& args, Console& console);

}  // namespace qed::cli
