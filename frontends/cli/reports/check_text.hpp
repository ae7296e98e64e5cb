// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "qed/check.hpp"

namespace qed::cli {

/// The findings, followed by the output of `qemu-img check`. `first` is the report of the run that
/// may have repaired something; `last` is the report after it, the same one if nothing was
/// repaired.
std::string check_text(const CheckReport& first, const CheckReport& last);
/// The same as JSON, with qemu-img's keys, and the findings under `findings`.
std::string check_json(const std::string& file, const CheckReport& first, const CheckReport& last);
/// 0 consistent, 1 check incomplete, 2 corrupt, 3 leaks.
int check_exit_status(const CheckReport& report);

}  // namespace qed::cli
