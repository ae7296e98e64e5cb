// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "base/mutex.hpp"
#include "qed/executor.hpp"

namespace qed {

/// Orders changes to one file by the bytes they touch: an exclusive claim and any other claim on
/// the same bytes take turns, in the order they came; shared claims go together.
///
/// Thread-safety: coroutines of any executors and threads may share one.
/// Cost: a walk over the claims in being; allocates nothing, since claims live in the frames of
/// those who hold them.
class RangeLock {
public:
    enum class Mode : std::uint8_t { shared, exclusive };

    /// Held from the await to the end of its life.
    /// `RangeLock::Claim claim(lock, begin, end, mode); co_await claim;`
    class Claim {
    public:
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
        void await_resume() const noexcept {}

    private:
        friend class RangeLock;
        bool conflicts_with(const Claim& other) const noexcept {
            return (mode_ == Mode::exclusive || other.mode_ == Mode::exclusive) &&
                   begin_ < other.end_ && other.begin_ < end_;
        }

        RangeLock& lock_;
        const std::uint64_t begin_;
        const std::uint64_t end_;
        const Mode mode_;
        bool is_listed_ = false;
        bool is_granted_ = false;
        Claim* earlier_ = nullptr;
        Claim* later_ = nullptr;
        Waiter waiter_;
    };

private:
    /// Puts the claim at the end of the list. True: granted at once.
    bool enter(Claim& claim) noexcept;
    void leave(Claim& claim) noexcept;
    /// Under mutex_, like all that walks along the claims.
    static bool must_wait(const Claim& claim) noexcept;

    Mutex mutex_;  // also for the links and states of the listed claims
    Claim* first_ QED_GUARDED_BY(mutex_) = nullptr;
    Claim* last_ QED_GUARDED_BY(mutex_) = nullptr;
    std::size_t waiting_ QED_GUARDED_BY(mutex_) = 0;
};

}  // namespace qed
