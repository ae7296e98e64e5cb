// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

/// The alignment of O_DIRECT requests to `descriptor`. Asks the kernel; if the kernel does not
/// know, finds it by trying. {1, 1}: direct I/O without rules, or no direct I/O.
Alignment direct_alignment(int descriptor) noexcept;

/// Only by trying: the smallest unit with which a direct read works; 4096 for files with too little
/// data to try. `descriptor` is open with O_DIRECT.
Alignment probe_direct_alignment(int descriptor) noexcept;

}  // namespace qed
