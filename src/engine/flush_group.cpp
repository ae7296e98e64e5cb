// SPDX-License-Identifier: Apache-2.0
#include "engine/flush_group.hpp"

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/mutants.hpp"
#include "base/trace.hpp"

namespace qed {

struct FlushGroup::Join {
    FlushGroup& group;
    Member& member;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        member.handle = handle;
        member.home = handle.promise().home;
        const ScopedLock lock(group.mutex_);
        if (!group.running_) {
            group.running_ = true;
            member.leads = true;
            return false;
        }
        group.waiting_.push(member);
        return true;
    }
    void await_resume() const noexcept {}
};

Result<void> FlushGroup::check_not_failed() const {
    if (!has_failed()) return {};
    return fail(
        Errc::write_stopped,
        fmt::format("{}: an earlier flush or table write failed, so the state of the disk is "
                    "unknown: no more writes are accepted; close the image and "
                    "check it",
                    file_.name()));
}

Task<Result<void>> FlushGroup::flush() {
    Member self;
    Join join{*this, self};
    co_await join;
    if (!self.leads) {
        if (self.error) co_return std::unexpected(std::move(*self.error));
        co_return {};
    }

    WaiterQueue members;
    {
        const ScopedLock lock(mutex_);
        QED_ASSERT(running_);
        std::swap(members, waiting_);
    }
    for (FlushObserver* observer : observers_)
        observer->flush_begins();
    QED_TRACE(flush_begin);
    // A later flush does not cover the writes that a failed flush has left, even if it succeeds.
    Result<void> done = check_not_failed();
    if (done) done = co_await file_.flush();
    QED_TRACE(flush_end, done.has_value());
    count_.fetch_add(1, std::memory_order_relaxed);
    if (done) {
        for (FlushObserver* observer : observers_)
            observer->flush_succeeded();
    } else {
        if (!detail::mutant(detail::Mutant::failed_flush_is_forgotten)) stop();
    }
    // Waking the members takes long: the next flush does not wait for it.
    pass_on_lead();
    while (Waiter* waiter = members.pop()) {
        if (!done) static_cast<Member*>(waiter)->error.emplace(done.error().clone());
        waiter->wake();
    }
    co_return done;
}

// The first member that arrived after this flush began leads the next one, for all the others.
void FlushGroup::pass_on_lead() noexcept {
    const ScopedLock lock(mutex_);
    QED_ASSERT(running_);
    Waiter* next = waiting_.pop();
    running_ = next != nullptr;
    if (next == nullptr) return;
    static_cast<Member*>(next)->leads = true;
    next->wake();
}

}  // namespace qed
