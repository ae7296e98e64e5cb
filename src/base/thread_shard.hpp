// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace qed {

inline constexpr std::size_t kThreadShards = 64;
inline constexpr std::size_t kCacheLineBytes = 64;

namespace detail {
// kThreadShards until the thread's first use. The TLS model makes reading it one instruction, even
// in a library that was loaded late. It takes 8 bytes of the loader's reserve for this model.
extern constinit thread_local std::size_t cached_shard [[gnu::tls_model("initial-exec")]];
std::size_t take_thread_shard() noexcept;
}  // namespace detail

/// The shard of all threads that do not own one.
inline constexpr std::size_t kSharedShard = kThreadShards - 1;

/// A small number for the calling thread, so that counters of different threads lie on different
/// cache lines. The first kSharedShard living threads own a number each; all others use
/// kSharedShard.
inline std::size_t thread_shard() noexcept {
    const std::size_t shard = detail::cached_shard;
    return shard != kThreadShards ? shard : detail::take_thread_shard();
}

/// The number that the thread owns, or at least kSharedShard if it does not own one. Calls no
/// function.
inline std::size_t own_thread_shard() noexcept {
    return detail::cached_shard;
}

}  // namespace qed
