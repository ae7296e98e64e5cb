// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <cstdint>

#include "base/mutex.hpp"
#include "qed/executor.hpp"

namespace qed {

/// Locks ranges of numbers (bytes of a file, clusters of a disk) for coroutines. Claims conflict
/// when their ranges overlap and one of them is exclusive. A claim is granted once every
/// conflicting claim that was made before it has ended: first come, first served, so that no claim
/// starves. Other claims do not wait for each other.
///
/// Thread-safety: coroutines of any executors and threads may share one.
/// Cost: making a claim walks over the claims in being, and so does ending one while others wait;
/// nothing is allocated, since claims live in the frames of the coroutines that hold them.
class RangeLock {
public:
    enum class Mode : std::uint8_t { shared, exclusive };

    /// Held from the await to the end of its life.
    /// `RangeLock::Claim claim(lock, begin, end, mode); co_await claim;`
    class Claim {
    public:
        /// The range is [begin, end).
        Claim(RangeLock& lock, std::uint64_t begin, std::uint64_t end, Mode mode) noexcept
            : lock_(lock), begin_(begin), end_(end), mode_(mode) {}
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim() {
            if (is_listed_) lock_.leave(*this);
        }

        bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
            waiter_.handle = handle;
            waiter_.home = handle.promise().home;
            return !lock_.enter(*this);
        }
        /// Whether the claim had to wait for another.
        bool await_resume() const noexcept { return has_waited_; }

    private:
        friend class RangeLock;
        bool conflicts_with(const Claim& other) const noexcept {
            // Most claims do not overlap: this is asked for each pair of claims.
            return begin_ < other.end_ && other.begin_ < end_ &&
                   (mode_ == Mode::exclusive || other.mode_ == Mode::exclusive);
        }

        RangeLock& lock_;
        const std::uint64_t begin_;
        const std::uint64_t end_;
        const Mode mode_;
        bool is_listed_ = false;
        bool has_waited_ = false;
        unsigned blockers_ = 0;  // claims made earlier that conflict and have not ended
        Claim* earlier_ = nullptr;
        Claim* later_ = nullptr;
        Waiter waiter_;
    };

private:
    /// Puts the claim at the end of the list. True: granted at once.
    bool enter(Claim& claim) noexcept;
    void leave(Claim& claim) noexcept;

    Mutex mutex_;  // also for the links and states of the listed claims
    Claim* first_ QED_GUARDED_BY(mutex_) = nullptr;
    Claim* last_ QED_GUARDED_BY(mutex_) = nullptr;
    unsigned waiting_ QED_GUARDED_BY(mutex_) = 0;  // listed claims that have blockers
};

}  // namespace qed
