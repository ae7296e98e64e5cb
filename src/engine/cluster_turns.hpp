// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <cstdint>
#include <mutex>

#include "qed/executor.hpp"

namespace qed {

/// Lets requests that change the same clusters take turns, first come first served; requests for
/// other clusters do not wait. Ranges are guest clusters, both ends included.
class ClusterTurns {
public:
    /// One turn: `co_await turns.acquire(turn)`; it ends when the object is destroyed.
    /// Lives in the frame of the request.
    class Turn : public Waiter {
    public:
        Turn(ClusterTurns& turns, std::uint64_t first, std::uint64_t last)
            : turns_(turns), first_(first), last_(last) {}
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (linked_) turns_.release(*this);
        }

        bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
            handle = awaiting;
            home = awaiting.promise().home;
            return turns_.enqueue(*this);
        }
        /// Whether it had to wait.
        bool await_resume() const noexcept { return waited_; }

    private:
        friend class ClusterTurns;
        bool overlaps(const Turn& other) const {
            return first_ <= other.last_ && other.first_ <= last_;
        }
        ClusterTurns& turns_;
        std::uint64_t first_;
        std::uint64_t last_;
        Turn* earlier_ = nullptr;
        Turn* later_ = nullptr;
        unsigned blockers_ = 0;  // earlier turns that overlap
        bool linked_ = false;
        bool waited_ = false;
    };

private:
    bool enqueue(Turn& turn) noexcept;
    void release(Turn& turn) noexcept;

    std::mutex mutex_;  // guards the list and what is linked in it
    Turn* oldest_ = nullptr;
    Turn* newest_ = nullptr;
};

}  // namespace qed
