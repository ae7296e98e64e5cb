// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace qed {

/// Memory of coroutine frames. A thread keeps the frames that end on it, up to a bound, for those
/// that begin next: a request costs no call of the allocator once its thread has run one like it.
///
/// Thread-safety: a frame may end on another thread than the one that it began on. What a thread
/// keeps is its own, and is freed when the thread ends.
/// In programs built with AddressSanitizer or ThreadSanitizer nothing is kept, so that they see
/// every frame begin and end.
class FramePool {
public:
    /// Bytes that a thread keeps at most, unless it says otherwise.
    static constexpr std::size_t kMaxKept = std::size_t{128} << 10;

    /// Null: there is no memory.
    static void* take(std::size_t bytes) noexcept;
    /// \param bytes  as it was taken
    static void give(void* frame, std::size_t bytes) noexcept;

    /// For the calling thread, from here on. With 0 each frame is allocated, as a test of what
    /// happens without memory needs it.
    static void keep_at_most(std::size_t bytes) noexcept;
    /// What the calling thread keeps now, in bytes.
    static std::size_t kept() noexcept;
};

namespace detail {

/// A promise that inherits this has its frames in the FramePool.
struct PooledFrame {
    static void* operator new(std::size_t bytes) noexcept { return FramePool::take(bytes); }
    static void operator delete(void* frame, std::size_t bytes) noexcept {
        FramePool::give(frame, bytes);
    }
};

}  // namespace detail
}  // namespace qed
