// SPDX-License-Identifier: Apache-2.0
#include "coro/range_lock.hpp"

#include "base/assert.hpp"

namespace qed {

bool RangeLock::enter(Claim& claim) noexcept {
    const ScopedLock lock(mutex_);
    QED_ASSERT(!claim.is_listed_);
    for (const Claim* other = first_; other != nullptr; other = other->later_) {
        if (claim.conflicts_with(*other)) ++claim.blockers_;
    }
    claim.earlier_ = last_;
    (last_ != nullptr ? last_->later_ : first_) = &claim;
    last_ = &claim;
    claim.is_listed_ = true;
    claim.has_waited_ = claim.blockers_ != 0;
    if (claim.has_waited_) ++waiting_;
    return !claim.has_waited_;
}

void RangeLock::leave(Claim& claim) noexcept {
    const ScopedLock lock(mutex_);
    Claim* other = claim.later_;
    (claim.earlier_ != nullptr ? claim.earlier_->later_ : first_) = claim.later_;
    (claim.later_ != nullptr ? claim.later_->earlier_ : last_) = claim.earlier_;
    if (claim.blockers_ != 0) --waiting_;  // its coroutine ends without having been granted it
    while (other != nullptr && waiting_ != 0) {
        // A woken coroutine may run at once elsewhere and end its claim only with mutex_ held, so
        // that the list stays as it is here.
        Claim* next = other->later_;
        if (claim.conflicts_with(*other) && --other->blockers_ == 0) {
            --waiting_;
            other->waiter_.wake();
        }
        other = next;
    }
}

}  // namespace qed
