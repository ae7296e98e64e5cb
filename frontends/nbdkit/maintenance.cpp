// SPDX-License-Identifier: Apache-2.0
#include "maintenance.hpp"

#include <algorithm>

#include "api.hpp"

namespace qed::nbdkit {
namespace {

// A client that comes back waits for one step at most.
constexpr std::uint64_t kStepsPerSecond = 8;
constexpr std::chrono::milliseconds kStepTime{1000 / kStepsPerSecond};

}  // namespace

// The file may have free space from the beginning.
Maintenance::Maintenance(Image& image, Options options)
    : image_(image),
      options_(options),
      changed_(options.compact_rate != 0),
      thread_([this] { run(); }) {}

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
        if (quiesce() && options_.compact_rate != 0) compact();
        lock.lock();
    }
}

bool Maintenance::quiesce() noexcept {
    const auto settled = image_.quiesce_blocking();
    if (!settled) nbdkit_error("quiescing the image: %s", settled.error().message().c_str());
    return settled.has_value();
}

/// Moves the end of the file into free space until a client changes the image. What was moved then
/// is cut off with the next quiesce().
void Maintenance::compact() noexcept {
    const std::uint64_t bytes = std::max<std::uint64_t>(options_.compact_rate / kStepsPerSecond, 1);
    std::uint64_t moved = 0;
    bool has_more = true;
    while (has_more && stays_idle(kStepTime)) {
        const auto done = image_.compact_step_blocking(bytes);
        if (!done) {
            nbdkit_error("compacting the image: %s", done.error().message().c_str());
            return;
        }
        moved += done->moved_bytes;
        has_more = done->has_more;
    }
    // Also after a step that left writes in place waiting for locks.
    if (moved != 0 || has_more) quiesce();
}

/// False as soon as the image is changed or the server stops.
bool Maintenance::stays_idle(std::chrono::milliseconds time) noexcept {
    const ScopedLock lock(mutex_);
    const auto end = std::chrono::steady_clock::now() + time;
    while (!stopping_ && !changed_.load(std::memory_order_acquire)) {
        if (!wake_.wait_until(mutex_, end)) return true;
    }
    return false;
}

/// Returns after an idle period without a change. Clears the flag at the start of each period, so
/// that a busy image costs one wake-up per period and not one per write.
void Maintenance::wait_until_idle() {
    while (!stopping_ && changed_.load(std::memory_order_acquire)) {
        changed_.store(false, std::memory_order_release);
        const auto end = std::chrono::steady_clock::now() + options_.idle;
        while (!stopping_ && wake_.wait_until(mutex_, end)) {
        }
    }
}

}  // namespace qed::nbdkit
