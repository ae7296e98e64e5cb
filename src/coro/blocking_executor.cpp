// SPDX-License-Identifier: Apache-2.0
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cstdint>

#include "qed/executor.hpp"

// A hand-over between threads is one system call of each: a mutex and a condition variable take up
// to five, because the woken thread meets the lock of the one that wakes it.

namespace qed {
namespace {

Waiter* const kAsleep = reinterpret_cast<Waiter*>(1);  // NOLINT(performance-no-int-to-ptr)

/// The half of `posted` that tells the mark from any address: the kernel compares 32 bits.
std::uint32_t* futex_word(std::atomic<Waiter*>& posted) noexcept {
    static_assert(sizeof posted == sizeof(Waiter*));
    auto* words = reinterpret_cast<std::uint32_t*>(&posted);
    constexpr bool kLowHalfIsLast = std::endian::native == std::endian::big && sizeof posted == 8;
    return kLowHalfIsLast ? words + 1 : words;
}

void futex(std::uint32_t* word, int operation, std::uint32_t value) noexcept {
    // Every failure means to look again.
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
    // The owner may have the waiter by now, and this executor may be gone: only its address is
    // used. Whatever else sleeps there by then looks again, as all who sleep on a futex do.
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
