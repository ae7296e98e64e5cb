// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "qed/api.hpp"

namespace qed {

/// Memory for coroutine frames. Each thread keeps the frames that end on it, up to a limit, and
/// reuses them: once a thread has run one request, a similar request does not call the allocator.
///
/// Thread-safety: one thread may take a frame and another give it back. Each thread keeps its own
/// frames and frees them when it ends.
/// Programs built with AddressSanitizer or ThreadSanitizer keep no frames, so that the sanitizer
/// sees every frame being allocated and freed.
class QED_API FramePool {
public:
    /// The most bytes that a thread keeps by default.
    static constexpr std::size_t kMaxKept = std::size_t{128} << 10;

    /// Returns null when memory is exhausted.
    static void* take(std::size_t bytes) noexcept;
    /// \param bytes  the size that take() was asked for
    static void give(void* frame, std::size_t bytes) noexcept;

    /// Sets the limit of the calling thread. With 0 every frame comes from operator new, as tests
    /// of exhausted memory need it.
    static void keep_at_most(std::size_t bytes) noexcept;
    /// Bytes that the calling thread keeps now.
    static std::size_t kept() noexcept;
};

namespace detail {

/// Promises that inherit from this allocate their coroutine frames from the FramePool.
struct PooledFrame {
    static void* operator new(std::size_t bytes) noexcept { return FramePool::take(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        FramePool::give(frame, bytes);
    }
};

}  // namespace detail
}  // namespace qed
