// SPDX-License-Identifier: Apache-2.0
#include "engine/cluster_turns.hpp"

namespace qed {

bool ClusterTurns::enqueue(Turn& turn) noexcept {
    const std::scoped_lock lock(mutex_);
    for (const Turn* other = oldest_; other != nullptr; other = other->later_) {
        if (turn.overlaps(*other)) ++turn.blockers_;
    }
    turn.earlier_ = newest_;
    (newest_ != nullptr ? newest_->later_ : oldest_) = &turn;
    newest_ = &turn;
    turn.linked_ = true;
    turn.waited_ = turn.blockers_ != 0;
    return turn.waited_;
}

void ClusterTurns::release(Turn& turn) noexcept {
    const std::scoped_lock lock(mutex_);
    Turn* other = turn.later_;
    (turn.earlier_ != nullptr ? turn.earlier_->later_ : oldest_) = turn.later_;
    (turn.later_ != nullptr ? turn.later_->earlier_ : newest_) = turn.earlier_;
    while (other != nullptr) {
        // A woken turn may be gone at once: its successor is read first.
        Turn* next = other->later_;
        if (turn.overlaps(*other) && --other->blockers_ == 0) other->wake();
        other = next;
    }
}

}  // namespace qed
