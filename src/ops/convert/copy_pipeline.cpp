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
    std::unique_lock lock(mutex_);
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
        if (all_planned_ && placed_ == planned_) break;
        ++asleep_;
        changed_.wait(lock);
        --asleep_;
    }
    return {};
}

void CopyPipeline::planned(std::size_t slot) {
    std::unique_lock lock(mutex_);
    planning_ = false;
    slots_[slot] = State::busy;
    ++planned_;
    if (can_plan()) wake_one(lock);
}

void CopyPipeline::planned_all() {
    std::unique_lock lock(mutex_);
    planning_ = false;
    all_planned_ = true;
    wake_all(lock);
}

void CopyPipeline::filled(std::size_t slot) {
    // Whoever calls this asks for the next job, and places what this makes possible.
    const std::lock_guard lock(mutex_);
    slots_[slot] = State::filled;
}

void CopyPipeline::placed() {
    std::unique_lock lock(mutex_);
    placing_ = false;
    slots_[slot_of(placed_)] = State::busy;
    ++placed_;
    if (all_planned_ && placed_ == planned_) {
        wake_all(lock);
    } else if (can_place()) {
        wake_one(lock);
    }
}

void CopyPipeline::stored(std::size_t slot) {
    std::unique_lock lock(mutex_);
    --storing_;
    slots_[slot] = State::empty;
    // One job is for whoever calls this.
    if (can_place() && can_plan()) wake_one(lock);
}

void CopyPipeline::stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    wake_all(lock);
}

void CopyPipeline::wake_one(std::unique_lock<std::mutex>& lock) {
    const bool anybody = asleep_ > 0;
    lock.unlock();
    if (anybody) changed_.notify_one();
}

void CopyPipeline::wake_all(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    changed_.notify_all();
}

}  // namespace qed
