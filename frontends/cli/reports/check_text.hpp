// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "qed/check.hpp"

namespace qed::cli {

/// What `qemu-img check` prints, preceded by the findings. `first` is the report of the run that
/// may have repaired something, `last` says what is left: the same one when nothing was.
std::string check_text(const CheckReport& first, const CheckReport& last);
/// The same with qemu-img's keys, and the findings under `findings`.
std::string check_json(const std::string& file, const CheckReport& first, const CheckReport& last);
/// 0 sound, 1 something could not be checked, 2 corrupt, 3 leaks.
int check_exit_status(const CheckReport& report);

}  // namespace qed::cli
