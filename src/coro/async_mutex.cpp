// SPDX-License-Identifier: Apache-2.0
#include "coro/async_mutex.hpp"

#include "base/assert.hpp"

namespace qed {

namespace {

constexpr Waiter* kFree = nullptr;
// Marks "held, no new waiters"; it only has to differ from every real waiter.
Waiter held_marker;
Waiter* const kHeld = &held_marker;

}  // namespace

bool AsyncMutex::try_lock() noexcept {
    Waiter* expected = kFree;
    return state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire,
                                          std::memory_order_relaxed);
}

bool AsyncMutex::enqueue(Waiter& waiter) noexcept {
    Waiter* seen = state_.load(std::memory_order_relaxed);
    while (true) {
        if (seen == kFree) {
            if (state_.compare_exchange_weak(seen, kHeld, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
                return false;
            }
            continue;
        }
        waiter.next = seen == kHeld ? nullptr : seen;
        if (state_.compare_exchange_weak(seen, &waiter, std::memory_order_release,
                                         std::memory_order_relaxed)) {
            return true;  // the waiter may already run on another thread
        }
    }
}

void AsyncMutex::unlock() noexcept {
    if (oldest_ == nullptr) {
        Waiter* expected = kHeld;
        if (state_.compare_exchange_strong(expected, kFree, std::memory_order_release,
                                           std::memory_order_relaxed)) {
            return;
        }
        // The list has the newest first; reverse it, so that the oldest is first.
        Waiter* newest = state_.exchange(kHeld, std::memory_order_acquire);
        QED_ASSERT(newest != kFree && newest != kHeld);
        while (newest != nullptr) {
            Waiter* older = newest->next;
            newest->next = oldest_;
            oldest_ = newest;
            newest = older;
        }
    }
    Waiter* next_owner = oldest_;
    oldest_ = next_owner->next;
    next_owner->wake();
}

}  // namespace qed
