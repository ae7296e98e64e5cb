// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/compact_step.hpp"
#include "qed/error.hpp"
#include "qed/task.hpp"

namespace qed {

/// Moves data in the file of a layer while requests run. A layer has it if its format can.
class Compaction {
public:
    /// Image::compact_step()
    virtual Task<Result<CompactStep>> compact(std::uint64_t bytes) = 0;
    /// Image::sort_step()
    virtual Task<Result<SortStep>> sort(std::uint64_t bytes) = 0;

protected:
    ~Compaction() = default;
};

}  // namespace qed
