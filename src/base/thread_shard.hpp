// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace qed {

inline constexpr std::size_t kThreadShards = 64;
inline constexpr std::size_t kCacheLineBytes = 64;

/// A small number for the calling thread, so that counters of different threads lie on different
/// cache lines. The first kThreadShards - 1 living threads have a number of their own; all others
/// share the last.
std::size_t thread_shard() noexcept;

}  // namespace qed
