// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"
#include "qed/progress.hpp"

namespace qed {

struct CompareOptions {
    /// The sizes and the ranges that hold stored data must also be equal.
    bool strict = false;
    unsigned threads = 0;  ///< 0: chosen for this machine
    /// Called after each piece, by one thread at a time; returns false to stop.
    Progress progress;
};
static_assert(std::is_trivially_destructible_v<CompareOptions>);

struct CompareReport {
    enum class Verdict : std::uint8_t {
        equal,
        content_differs,  ///< in the sector at `offset`
        size_differs,     ///< strict only
        status_differs,   ///< strict only: at `offset` one disk stores data, the other none
    } verdict = Verdict::equal;
    std::uint64_t offset = 0;   ///< of the first difference
    bool sizes_differ = false;  ///< if `equal`: the longer disk ends with zeroes
};

/// Compares the content of two disks as guests see it.
/// Thread-safety: other threads may read both disks meanwhile, but must not write them.
/// \errors cancelled, and those of reading
/// \cost   reads each range once in which both disks store data. Does not read ranges that both
///         take from the same place of the same file (two clones of one base), nor zeroes that the
///         tables state
QED_API Result<CompareReport> compare(Image& one, Image& other, const CompareOptions& options);

}  // namespace qed
