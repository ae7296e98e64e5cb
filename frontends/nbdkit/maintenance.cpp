// SPDX-License-Identifier: Apache-2.0
#include "maintenance.hpp"

#include "api.hpp"

namespace qed::nbdkit {

Maintenance::Maintenance(Image& image, std::chrono::milliseconds idle)
    : image_(image), idle_(idle), thread_([this] { run(); }) {}

Maintenance::~Maintenance() {
    {
        const ScopedLock lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void Maintenance::wake_up() noexcept {
    {
        const ScopedLock lock(mutex_);
        changed_.store(true, std::memory_order_release);
    }
    wake_.notify_one();
}

void Maintenance::run() {
    ReleasableLock lock(mutex_);
    for (;;) {
        while (!stopping_ && !changed_.load(std::memory_order_acquire))
            wake_.wait(mutex_);
        wait_until_idle();
        if (stopping_) return;
        lock.unlock();
        if (const auto settled = image_.quiesce_blocking(); !settled) {
            nbdkit_error("quiescing the image: %s", settled.error().message().c_str());
        }
        lock.lock();
    }
}

/// Returns after an idle period without a change. Clears the flag at the start of each period, so
/// that a busy image costs one wake-up per period and not one per write.
void Maintenance::wait_until_idle() {
    while (!stopping_ && changed_.load(std::memory_order_acquire)) {
        changed_.store(false, std::memory_order_release);
        const auto end = std::chrono::steady_clock::now() + idle_;
        while (!stopping_ && wake_.wait_until(mutex_, end)) {
        }
    }
}

}  // namespace qed::nbdkit
