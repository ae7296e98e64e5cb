// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

struct CompareOptions {
    /// Sizes, and which ranges hold stored data, must be equal too.
    bool strict = false;
    unsigned threads = 0;  ///< 0: as many as pay on this machine
    /// Called after each piece by one thread at a time; returns false to stop.
    bool (*progress)(void* context, std::uint64_t done, std::uint64_t total) = nullptr;
    void* progress_context = nullptr;
};
static_assert(std::is_trivially_destructible_v<CompareOptions>);

struct CompareReport {
    enum class Verdict : std::uint8_t {
        equal,
        content_differs,  ///< in the sector at `offset`
        size_differs,     ///< strict only
        status_differs,   ///< strict only: data here, none there, from `offset` on
    } verdict = Verdict::equal;
    std::uint64_t offset = 0;   ///< of the first difference
    bool sizes_differ = false;  ///< the longer disk must be zero behind the end of the shorter
};

/// Compares the content of two disks as guests see it.
/// Thread-safety: both may be read by others meanwhile, not written.
/// \errors cancelled, and those of reading
/// \cost   what is stored in both is read once; ranges that both take from the same place of the
///         same file (two clones of one base) and zeroes known from tables are not read at all
Result<CompareReport> compare(Image& one, Image& other, const CompareOptions& options);

}  // namespace qed
