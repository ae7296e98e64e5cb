// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "qed/stats.hpp"

namespace qed::nbdkit {

/// Prints counters as `name=value` lines on standard error, for stats=true: those of the image, and
/// those of the table caches of all layers of its chain.
void print_stats(const Stats& stats, const CacheStats& total);

/// Prints a warning on standard error.
void print_warning(std::string_view text);

/// Prints the plugin's lines of `nbdkit --dump-plugin` on standard output.
void print_plugin_facts();

}  // namespace qed::nbdkit
