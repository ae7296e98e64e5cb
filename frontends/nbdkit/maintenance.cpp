// SPDX-License-Identifier: Apache-2.0
#include "maintenance.hpp"

#include "api.hpp"

namespace qed::nbdkit {

Maintenance::Maintenance(Image& image, std::chrono::milliseconds idle)
    : image_(image), idle_(idle), thread_([this] { run(); }) {}

Maintenance::~Maintenance() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void Maintenance::wake_up() noexcept {
    {
        const std::lock_guard lock(mutex_);
        changed_.store(true, std::memory_order_release);
    }
    wake_.notify_one();
}

void Maintenance::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || changed_.load(std::memory_order_acquire); });
        wait_until_idle(lock);
        if (stopping_) return;
        lock.unlock();
        if (const auto settled = image_.quiesce_blocking(); !settled) {
            nbdkit_error("settling the image: %s", settled.error().message().c_str());
        }
        lock.lock();
    }
}

/// Returns after a whole idle period without a change. The flag is cleared at the start of each
/// period, so that a busy image costs one wake-up per period and not one per write.
void Maintenance::wait_until_idle(std::unique_lock<std::mutex>& lock) {
    while (!stopping_ && changed_.load(std::memory_order_acquire)) {
        changed_.store(false, std::memory_order_release);
        wake_.wait_for(lock, idle_, [this] { return stopping_; });
    }
}

}  // namespace qed::nbdkit
