// SPDX-License-Identifier: Apache-2.0
#include "io/range_lock.hpp"

namespace qed {

bool RangeLock::must_wait(const Claim& claim) noexcept {
    for (const Claim* other = claim.earlier_; other != nullptr; other = other->earlier_) {
        if (claim.conflicts_with(*other)) return true;
    }
    return false;
}

bool RangeLock::enter(Claim& claim) noexcept {
    const ScopedLock lock(mutex_);
    claim.earlier_ = last_;
    (last_ != nullptr ? last_->later_ : first_) = &claim;
    last_ = &claim;
    claim.is_listed_ = true;
    claim.is_granted_ = !must_wait(claim);
    if (!claim.is_granted_) ++waiting_;
    return claim.is_granted_;
}

void RangeLock::leave(Claim& claim) noexcept {
    WaiterQueue granted;
    {
        const ScopedLock lock(mutex_);
        (claim.earlier_ != nullptr ? claim.earlier_->later_ : first_) = claim.later_;
        (claim.later_ != nullptr ? claim.later_->earlier_ : last_) = claim.earlier_;
        for (Claim* other = claim.later_; other != nullptr && waiting_ > 0; other = other->later_) {
            if (other->is_granted_ || must_wait(*other)) continue;
            other->is_granted_ = true;
            --waiting_;
            granted.push(other->waiter_);
        }
    }
    while (Waiter* waiter = granted.pop())
        waiter->wake();
}

}  // namespace qed
