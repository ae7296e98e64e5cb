// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/piece_ring.hpp"

#include "base/assert.hpp"

namespace qed {

PieceRing::PieceRing(std::size_t slots, std::size_t writers)
    : writers_(writers), slots_(slots, State::empty) {
    QED_ASSERT(slots > 0 && writers > 0);
}

bool PieceRing::can_place() const {
    return !placing_ && storing_ < writers_ && placed_ < planned_ &&
           slots_[slot_of(placed_)] == State::filled;
}

bool PieceRing::can_plan() const {
    return !planning_ && !all_planned_ && slots_[slot_of(planned_)] == State::empty;
}

PieceRing::Job PieceRing::next() {
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

void PieceRing::planned(std::size_t slot) {
    std::unique_lock lock(mutex_);
    planning_ = false;
    slots_[slot] = State::busy;
    ++planned_;
    if (can_plan()) wake_one(lock);
}

void PieceRing::planned_all() {
    std::unique_lock lock(mutex_);
    planning_ = false;
    all_planned_ = true;
    wake_all(lock);
}

void PieceRing::filled(std::size_t slot) {
    // Whoever calls this asks for the next job, and places what this makes possible.
    const std::lock_guard lock(mutex_);
    slots_[slot] = State::filled;
}

void PieceRing::placed() {
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

void PieceRing::stored(std::size_t slot) {
    std::unique_lock lock(mutex_);
    --storing_;
    slots_[slot] = State::empty;
    // One job is for whoever calls this.
    if (can_place() && can_plan()) wake_one(lock);
}

void PieceRing::stop() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    wake_all(lock);
}

void PieceRing::wake_one(std::unique_lock<std::mutex>& lock) {
    const bool anybody = asleep_ > 0;
    lock.unlock();
    if (anybody) changed_.notify_one();
}

void PieceRing::wake_all(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    changed_.notify_all();
}

}  // namespace qed
