// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <cstdint>
#include <mutex>

#include "qed/executor.hpp"

namespace qed {

/// Lets requests that change the same clusters take locks, first come first served; requests for
/// other clusters do not wait. Ranges are guest clusters, both ends included.
class ClusterRangeLock {
public:
    /// One claim: `co_await locks.acquire(claim)`; it ends when the object is destroyed.
    /// Lives in the frame of the request.
    class Claim : public Waiter {
    public:
        Claim(ClusterRangeLock& locks, std::uint64_t first, std::uint64_t last)
            : range_locks_(locks), first_(first), last_(last) {}
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim() {
            if (linked_) range_locks_.release(*this);
        }

        bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
            handle = awaiting;
            home = awaiting.promise().home;
            return range_locks_.enqueue(*this);
        }
        /// Whether it had to wait.
        bool await_resume() const noexcept { return waited_; }

    private:
        friend class ClusterRangeLock;
        bool overlaps(const Claim& other) const {
            return first_ <= other.last_ && other.first_ <= last_;
        }
        ClusterRangeLock& range_locks_;
        std::uint64_t first_;
        std::uint64_t last_;
        Claim* earlier_ = nullptr;
        Claim* later_ = nullptr;
        unsigned blockers_ = 0;  // earlier locks that overlap
        bool linked_ = false;
        bool waited_ = false;
    };

private:
    bool enqueue(Claim& claim) noexcept;
    void release(Claim& claim) noexcept;

    std::mutex mutex_;  // guards the list and what is linked in it
    Claim* oldest_ = nullptr;
    Claim* newest_ = nullptr;
};

}  // namespace qed
