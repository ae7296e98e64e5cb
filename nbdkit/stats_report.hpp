// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/stats.hpp"

namespace qed::nbdkit {

/// Counters as `name=value` lines on standard error, for stats=true.
void print_stats(const Stats& stats);

/// The plugin's own lines of `nbdkit --dump-plugin`, on standard output.
void print_plugin_facts();

}  // namespace qed::nbdkit
