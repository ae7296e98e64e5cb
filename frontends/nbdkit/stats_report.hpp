// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "qed/stats.hpp"

namespace qed::nbdkit {

/// Counters as `name=value` lines on standard error, for stats=true: of the image, and of the
/// table caches of all layers of its chain.
void print_stats(const Stats& stats, const CacheStats& total);

/// What is worth knowing and no error, on standard error.
void print_warning(std::string_view text);

/// The plugin's own lines of `nbdkit --dump-plugin`, on standard output.
void print_plugin_facts();

}  // namespace qed::nbdkit
