// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

/// What O_DIRECT requests to `descriptor` must be multiples of: asked of the kernel, and where it
/// cannot say, found by trying. {1, 1}: direct I/O without rules, or not direct at all.
Alignment direct_alignment(int descriptor) noexcept;

/// The second way alone: the smallest unit with which a direct read works. Files with too little
/// data to try get 4096. `descriptor` is open with O_DIRECT.
Alignment probe_direct_alignment(int descriptor) noexcept;

}  // namespace qed
