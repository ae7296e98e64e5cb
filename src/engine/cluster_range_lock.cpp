// SPDX-License-Identifier: Apache-2.0
#include "engine/cluster_range_lock.hpp"

namespace qed {

bool ClusterRangeLock::enqueue(Claim& claim) noexcept {
    const std::scoped_lock lock(mutex_);
    for (const Claim* other = oldest_; other != nullptr; other = other->later_) {
        if (claim.overlaps(*other)) ++claim.blockers_;
    }
    claim.earlier_ = newest_;
    (newest_ != nullptr ? newest_->later_ : oldest_) = &claim;
    newest_ = &claim;
    claim.linked_ = true;
    claim.waited_ = claim.blockers_ != 0;
    return claim.waited_;
}

void ClusterRangeLock::release(Claim& claim) noexcept {
    const std::scoped_lock lock(mutex_);
    Claim* other = claim.later_;
    (claim.earlier_ != nullptr ? claim.earlier_->later_ : oldest_) = claim.later_;
    (claim.later_ != nullptr ? claim.later_->earlier_ : newest_) = claim.earlier_;
    while (other != nullptr) {
        // A woken claim may be gone at once: its successor is read first.
        Claim* next = other->later_;
        if (claim.overlaps(*other) && --other->blockers_ == 0) other->wake();
        other = next;
    }
}

}  // namespace qed
