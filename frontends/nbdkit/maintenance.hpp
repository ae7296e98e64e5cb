// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "base/mutex.hpp"
#include "qed/image.hpp"

namespace qed::nbdkit {

/// Settles an image once nobody has changed it for a while: the engine has no clock, the server
/// has. Owns one thread, which sleeps without a timer while the image is settled.
class Maintenance {
public:
    /// \throws std::system_error when there can be no thread
    Maintenance(Image& image, std::chrono::milliseconds idle);
    /// Waits for a settle that is under way; does not start one.
    ~Maintenance();
    Maintenance(const Maintenance&) = delete;
    Maintenance& operator=(const Maintenance&) = delete;

    /// To be called after each completed change. Any thread; one atomic load unless the image was
    /// settled before.
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
    std::thread thread_;  // last: everything else exists when it starts
};

}  // namespace qed::nbdkit
