// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "base/mutex.hpp"
#include "qed/image.hpp"

namespace qed::nbdkit {

/// Quiesces an image after some time without a write, and then makes its file shorter if it may.
/// The server does this because the engine reads no clock. Owns one thread, which sleeps without a
/// timer while the image is clean and no space is to be moved.
class Maintenance {
public:
    struct Options {
        std::chrono::milliseconds idle{2000};  ///< time without a write
        std::uint64_t compact_rate = 0;        ///< bytes a second to be moved then; 0: none
    };
    /// \throws std::system_error if no thread can be started
    Maintenance(Image& image, Options options);
    /// Waits for a running quiesce() or compact_step(); does not start one.
    ~Maintenance();
    Maintenance(const Maintenance&) = delete;
    Maintenance& operator=(const Maintenance&) = delete;

    /// Call this after each completed change. Any thread; one atomic load unless the image was
    /// clean before.
    void note_change() noexcept {
        if (!changed_.load(std::memory_order_acquire)) wake_up();
    }

private:
    void wake_up() noexcept;
    void run();
    void wait_until_idle() QED_REQUIRES(mutex_);
    bool quiesce() noexcept;
    void compact() noexcept;
    bool stays_idle(std::chrono::milliseconds time) noexcept;

    Image& image_;
    const Options options_;
    std::atomic<bool> changed_;  // cleared by the thread only, under mutex_
    Mutex mutex_;
    bool stopping_ QED_GUARDED_BY(mutex_) = false;
    ConditionVariable wake_;
    std::thread thread_;  // last, so that all other members exist when it starts
};

}  // namespace qed::nbdkit
