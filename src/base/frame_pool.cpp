// SPDX-License-Identifier: Apache-2.0
#include "qed/frame_pool.hpp"

#include <array>
#include <cstdint>
#include <new>

namespace qed {
namespace {

// Frames of libqed have some 100 to 1,500 bytes. Longer ones are not kept.
constexpr std::size_t kStep = 128;
constexpr std::size_t kSizes = 16;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKeepsFrames = false;
#elif defined(__has_feature)
constexpr bool kKeepsFrames = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool kKeepsFrames = true;
#endif

struct FreeFrame {
    FreeFrame* next;
};

struct KeptFrames {
    enum class Life : std::uint8_t { unused, open, ended };
    std::array<FreeFrame*, kSizes> lists{};  // by size in steps
    std::size_t bytes = 0;
    std::size_t limit = 0;
    Life life = Life::unused;

    bool open() noexcept;
    void shrink(std::size_t most) noexcept;
};

constinit thread_local KeptFrames kept_frames;

struct EndOfThread {
    EndOfThread() = default;
    EndOfThread(const EndOfThread&) = delete;
    EndOfThread& operator=(const EndOfThread&) = delete;
    ~EndOfThread() {
        kept_frames.shrink(0);
        kept_frames.limit = 0;
        kept_frames.life = KeptFrames::Life::ended;  // later destructors may run coroutines
    }
};

// True after the first call in each thread, which then keeps frames.
bool KeptFrames::open() noexcept {
    if (!kKeepsFrames || life != Life::unused) return false;
    thread_local const EndOfThread end_of_thread;
    life = Life::open;
    limit = FramePool::kMaxKept;
    return true;
}

void KeptFrames::shrink(std::size_t most) noexcept {
    for (std::size_t list = 0; list < kSizes; ++list) {
        while (bytes > most && lists[list] != nullptr) {
            FreeFrame* frame = lists[list];
            lists[list] = frame->next;
            bytes -= (list + 1) * kStep;
            ::operator delete(frame);
        }
    }
}

}  // namespace

void* FramePool::take(std::size_t bytes) noexcept {
    const std::size_t list = (bytes - 1) / kStep;
    if (list >= kSizes) return ::operator new(bytes, std::nothrow);
    const std::size_t rounded = (list + 1) * kStep;
    KeptFrames& kept = kept_frames;
    FreeFrame* frame = kept.lists[list];
    if (frame == nullptr) return ::operator new(rounded, std::nothrow);
    kept.lists[list] = frame->next;
    kept.bytes -= rounded;
    return frame;
}

void FramePool::give(void* frame, std::size_t bytes) noexcept {
    const std::size_t list = (bytes - 1) / kStep;
    const std::size_t rounded = (list + 1) * kStep;
    KeptFrames& kept = kept_frames;
    if (list >= kSizes || (kept.bytes + rounded > kept.limit && !kept.open())) {
        ::operator delete(frame);
        return;
    }
    kept.lists[list] = new (frame) FreeFrame{kept.lists[list]};
    kept.bytes += rounded;
}

void FramePool::keep_at_most(std::size_t bytes) noexcept {
    kept_frames.open();
    if (kept_frames.life != KeptFrames::Life::open) return;
    kept_frames.limit = bytes;
    kept_frames.shrink(bytes);
}

std::size_t FramePool::kept() noexcept {
    return kept_frames.bytes;
}

}  // namespace qed
