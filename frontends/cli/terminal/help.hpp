// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace qed::cli {

/// Formats help for a terminal of 80 columns: names on the left, wrapped descriptions on the right,
/// without the exclusions between options.
class HelpFormatter final : public CLI::Formatter {
public:
    HelpFormatter();
    std::string make_option(const CLI::Option* option, bool is_positional) const override;
    std::string make_subcommand(const CLI::App* command) const override;
    std::string make_description(const CLI::App* command) const override;
};

}  // namespace qed::cli
