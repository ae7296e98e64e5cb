// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace qed {

/// Says to each of several threads what to do next about a row of pieces, so that none of them
/// waits for another as long as there is work: a piece is planned, filled, placed and stored;
/// pieces are planned one after the other and placed in the same order, filled at the same time.
/// Thread-safe. Whoever gets a job hands it back by the call that belongs to it.
class CopyPipeline {
public:
    /// \param slots    pieces that may be under way at once
    /// \param writers  of them, how many may be stored at once
    CopyPipeline(std::size_t slots, std::size_t writers);

    enum class Task : std::uint8_t {
        plan,   ///< say what the next piece is, then fill it: planned(), then filled()
        place,  ///< place the piece and store it: placed(), then stored()
        none,   ///< all is done, or stopped
    };
    struct Job {
        Task task = Task::none;
        std::size_t slot = 0;
    };
    /// Waits until there is something to do.
    Job next();

    void planned(std::size_t slot);
    /// In place of planned(): there are no more pieces.
    void planned_all();
    void filled(std::size_t slot);
    void placed();
    void stored(std::size_t slot);
    /// Everybody gets `none` from now on.
    void stop();

private:
    enum class State : std::uint8_t { empty, busy, filled };
    bool can_place() const;
    bool can_plan() const;
    std::size_t slot_of(std::uint64_t piece) const { return piece % slots_.size(); }
    void wake_one(std::unique_lock<std::mutex>& lock);
    void wake_all(std::unique_lock<std::mutex>& lock);

    const std::size_t writers_;
    std::mutex mutex_;  // guards everything below
    std::condition_variable changed_;
    std::vector<State> slots_;
    std::uint64_t planned_ = 0;  ///< pieces so far
    std::uint64_t placed_ = 0;
    std::size_t storing_ = 0;  ///< from placing on
    std::size_t asleep_ = 0;
    bool planning_ = false;
    bool placing_ = false;
    bool all_planned_ = false;
    bool stopped_ = false;
};

}  // namespace qed
