// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>

#include "qed/error.hpp"

namespace qed::cli {

/// --cluster-size of new overlays.
void add_cluster_size_option(CLI::App& app, std::string& cluster);
/// 0 if the option is not given. \errors invalid_argument
Result<std::uint32_t> overlay_cluster_bytes(const std::string& cluster);

}  // namespace qed::cli
