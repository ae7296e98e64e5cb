// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace qed {

inline constexpr std::size_t kThreadShards = 64;
inline constexpr std::size_t kCacheLineBytes = 64;

namespace detail {
// kThreadShards until the thread's first use. The model makes reading it one instruction, also in
// a library that was loaded late; it takes 8 bytes of the space that the loader keeps for this.
extern constinit thread_local std::size_t cached_shard [[gnu::tls_model("initial-exec")]];
std::size_t take_thread_shard() noexcept;
}  // namespace detail

/// The shard of all threads that have none of their own.
inline constexpr std::size_t kSharedShard = kThreadShards - 1;

/// A small number for the calling thread, so that counters of different threads lie on different
/// cache lines. The first kSharedShard living threads have a number of their own; all others use
/// kSharedShard.
inline std::size_t thread_shard() noexcept {
    const std::size_t shard = detail::cached_shard;
    return shard != kThreadShards ? shard : detail::take_thread_shard();
}

/// thread_shard() where the thread is known to have one of its own by now; at least kSharedShard
/// otherwise. Calls nothing.
inline std::size_t own_thread_shard() noexcept {
    return detail::cached_shard;
}

}  // namespace qed
