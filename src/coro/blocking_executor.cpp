// SPDX-License-Identifier: Apache-2.0
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cstdint>

#include "qed/executor.hpp"

// Passing a waiter between threads takes one system call in each. A mutex and a condition variable
// would take up to five, because the woken thread waits for the lock of the waking one.

namespace qed {
namespace {

Waiter* const kAsleep = reinterpret_cast<Waiter*>(1);  // NOLINT(performance-no-int-to-ptr)

/// The half of `posted` that differs between the marker and any address: the kernel compares 32
/// bits.
std::uint32_t* futex_word(std::atomic<Waiter*>& posted) noexcept {
    static_assert(sizeof posted == sizeof(Waiter*));
    auto* words = reinterpret_cast<std::uint32_t*>(&posted);
    constexpr bool kLowHalfIsLast = std::endian::native == std::endian::big && sizeof posted == 8;
    return kLowHalfIsLast ? words + 1 : words;
}

void futex(std::uint32_t* word, int operation, std::uint32_t value) noexcept {
    // After any failure the caller looks at the list again.
    ::syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

}  // namespace

void BlockingExecutor::post(Waiter& waiter) noexcept {
    std::uint32_t* const word = futex_word(posted_);
    Waiter* newest = posted_.load(std::memory_order_relaxed);
    do {
        waiter.next = newest == kAsleep ? nullptr : newest;
    } while (!posted_.compare_exchange_weak(newest, &waiter, std::memory_order_release,
                                            std::memory_order_relaxed));
    // The owner may have taken the waiter and destroyed this executor, so only its address is used.
    // Another sleeper at this address looks again after it wakes, as every user of a futex does.
    if (newest == kAsleep) futex(word, FUTEX_WAKE, 1);
}

void BlockingExecutor::take_posted() noexcept {
    Waiter* newest = posted_.exchange(nullptr, std::memory_order_acquire);
    while (newest == nullptr || newest == kAsleep) {
        newest = nullptr;
        if (posted_.compare_exchange_strong(newest, kAsleep, std::memory_order_relaxed)) {
            futex(futex_word(posted_), FUTEX_WAIT, 1);
        }
        newest = posted_.exchange(nullptr, std::memory_order_acquire);
    }
    Waiter* oldest = nullptr;
    while (newest != nullptr) {
        Waiter* older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    while (oldest != nullptr) {
        Waiter* newer = oldest->next;
        ready_.push(*oldest);
        oldest = newer;
    }
}

void BlockingExecutor::run_until(const bool& done) {
    while (!done) {
        if (ready_.empty()) take_posted();
        ready_.pop()->handle.resume();
    }
}

}  // namespace qed
