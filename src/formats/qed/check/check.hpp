// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/block_file.hpp"
#include "qed/check.hpp"
#include "qed/task.hpp"

namespace qed {

/// The checker of QED images: check_file() without the choice of the format.
Task<Result<CheckReport>> check_qed(BlockFile& file, CheckOptions options);

}  // namespace qed
