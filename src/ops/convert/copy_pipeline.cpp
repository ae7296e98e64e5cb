// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/copy_pipeline.hpp"

#include "base/assert.hpp"

namespace qed {

CopyPipeline::CopyPipeline(std::size_t slots, std::size_t writers)
    : writers_(writers), slots_(slots, State::empty) {
    QED_ASSERT(slots > 0 && writers > 0);
}

bool CopyPipeline::can_place() const {
    return !placing_ && storing_ < writers_ && placed_ < planned_ &&
           slots_[slot_of(placed_)] == State::filled;
}

bool CopyPipeline::can_plan() const {
    return !planning_ && !all_planned_ && slots_[slot_of(planned_)] == State::empty;
}

CopyPipeline::Job CopyPipeline::next() {
    const ScopedLock lock(mutex_);
    while (!stopped_) {
        if (can_place()) {
            placing_ = true;
            ++storing_;
            return {Task::place, slot_of(placed_)};
        }
        if (can_plan()) {
            planning_ = true;
            return {Task::plan, slot_of(planned_)};
        }
        if (is_all_placed()) break;
        ++asleep_;
        changed_.wait(mutex_);
        --asleep_;
    }
    return {};
}

// Wakes other threads after releasing the lock, so that they do not wait for it at once.

void CopyPipeline::planned(std::size_t slot) {
    bool wakes_one = false;
    {
        const ScopedLock lock(mutex_);
        planning_ = false;
        slots_[slot] = State::busy;
        ++planned_;
        wakes_one = can_plan() && asleep_ > 0;
    }
    if (wakes_one) changed_.notify_one();
}

void CopyPipeline::planned_all() {
    {
        const ScopedLock lock(mutex_);
        planning_ = false;
        all_planned_ = true;
    }
    changed_.notify_all();
}

void CopyPipeline::filled(std::size_t slot) {
    // The calling thread takes the next job, and can place the pieces that became placeable.
    const ScopedLock lock(mutex_);
    slots_[slot] = State::filled;
}

void CopyPipeline::placed() {
    bool wakes_one = false;
    bool wakes_all = false;
    {
        const ScopedLock lock(mutex_);
        placing_ = false;
        slots_[slot_of(placed_)] = State::busy;
        ++placed_;
        wakes_all = is_all_placed();
        wakes_one = can_place() && asleep_ > 0;
    }
    if (wakes_all) {
        changed_.notify_all();
    } else if (wakes_one) {
        changed_.notify_one();
    }
}

void CopyPipeline::stored(std::size_t slot) {
    bool wakes_one = false;
    {
        const ScopedLock lock(mutex_);
        --storing_;
        slots_[slot] = State::empty;
        // The calling thread takes one of the jobs.
        wakes_one = can_place() && can_plan() && asleep_ > 0;
    }
    if (wakes_one) changed_.notify_one();
}

void CopyPipeline::stop() {
    {
        const ScopedLock lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
}

}  // namespace qed
