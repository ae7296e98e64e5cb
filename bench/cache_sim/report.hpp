// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "experiment.hpp"

namespace qed::cache_sim {

/// Tables for people: one for each trace, the miss rate of each policy in percent.
std::string text_report(const Options& options, std::span<const Result> results);

/// Everything, for programs. Rates are percent, sizes bytes.
std::string json_report(const Options& options, std::span<const Result> results);

}  // namespace qed::cache_sim
