// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "base/mutex.hpp"
#include "qed/image.hpp"

namespace qed::nbdkit {

/// Quiesces an image after some time without a write. The server does this because the engine reads
/// no clock. Owns one thread, which sleeps without a timer while the image is clean.
class Maintenance {
public:
    /// \throws std::system_error if no thread can be started
    Maintenance(Image& image, std::chrono::milliseconds idle);
    /// Waits for a running quiesce(); does not start one.
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

    Image& image_;
    const std::chrono::milliseconds idle_;
    std::atomic<bool> changed_ = false;  // cleared by the thread only, under mutex_
    Mutex mutex_;
    bool stopping_ QED_GUARDED_BY(mutex_) = false;
    ConditionVariable wake_;
    std::thread thread_;  // last, so that all other members exist when it starts
};

}  // namespace qed::nbdkit
