// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/mutex.hpp"

namespace qed {

/// Distributes the work on consecutive pieces among several threads, so that no thread waits for
/// another while there is work. A piece is planned, filled, placed and stored. Pieces are planned
/// and placed in order, and filled and stored concurrently.
/// Thread-safe. A thread that got a job ends it with the matching call.
class CopyPipeline {
public:
    /// \param slots    pieces that may be in work at the same time
    /// \param writers  pieces that may be stored at the same time
    CopyPipeline(std::size_t slots, std::size_t writers);

    enum class Task : std::uint8_t {
        plan,   ///< plan the next piece, then fill it: planned(), then filled()
        place,  ///< place the piece and store it: placed(), then stored()
        none,   ///< all is done, or stopped
    };
    struct Job {
        Task task = Task::none;
        std::size_t slot = 0;
    };
    /// Waits until there is a job.
    Job next();

    void planned(std::size_t slot);
    /// Call this instead of planned() if there are no more pieces.
    void planned_all();
    void filled(std::size_t slot);
    void placed();
    void stored(std::size_t slot);
    /// Ends the work: next() returns `none` from now on.
    void stop();

private:
    enum class State : std::uint8_t { empty, busy, filled };
    bool can_place() const QED_REQUIRES(mutex_);
    bool can_plan() const QED_REQUIRES(mutex_);
    bool is_all_placed() const QED_REQUIRES(mutex_) { return all_planned_ && placed_ == planned_; }
    std::size_t slot_of(std::uint64_t piece) const QED_REQUIRES(mutex_) {
        return piece % slots_.size();
    }

    const std::size_t writers_;
    Mutex mutex_;
    ConditionVariable changed_;
    std::vector<State> slots_ QED_GUARDED_BY(mutex_);
    std::uint64_t planned_ QED_GUARDED_BY(mutex_) = 0;  ///< pieces so far
    std::uint64_t placed_ QED_GUARDED_BY(mutex_) = 0;
    std::size_t storing_ QED_GUARDED_BY(mutex_) = 0;  ///< placed, not yet stored
    std::size_t asleep_ QED_GUARDED_BY(mutex_) = 0;
    bool planning_ QED_GUARDED_BY(mutex_) = false;
    bool placing_ QED_GUARDED_BY(mutex_) = false;
    bool all_planned_ QED_GUARDED_BY(mutex_) = false;
    bool stopped_ QED_GUARDED_BY(mutex_) = false;
};

}  // namespace qed
