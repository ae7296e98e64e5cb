// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "qed/executor.hpp"
#include "qed/task.hpp"
#include "sim/failure.hpp"
#include "sim/random.hpp"

namespace qed::sim {

/// An event that a World runs later, such as the end of an I/O.
class Happening {
public:
    virtual ~Happening() = default;
    virtual void happen() = 0;
};

/// A virtual machine on one thread. It resumes coroutines and ends I/Os in an order that its seed
/// decides. Its clock only orders events; nothing waits for real time.
class World final : public Executor {
public:
    static constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

    /// \param first_moment  the clock continues here, for a world that replaces another one
    explicit World(std::uint64_t seed, std::uint64_t first_moment = 0) noexcept
        : random_(seed), moment_(first_moment) {}
    ~World() override;

    Random& random() noexcept { return random_; }
    /// A moment later than all before it, so that events at different moments have an order.
    std::uint64_t tick() noexcept { return ++moment_; }
    std::uint64_t moment() const noexcept { return moment_; }
    std::uint64_t events() const noexcept { return events_; }
    /// A hash of everything that was traced; equal for equal runs.
    std::uint64_t trace_hash() const noexcept { return trace_; }
    void trace(std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) noexcept {
        trace_ = mix(mix(mix(trace_ ^ a) ^ b) ^ c);
    }

    /// Prints every event from now on, for the replay of a failure.
    void narrate() noexcept { is_narrating_ = true; }
    bool is_narrating() const noexcept { return is_narrating_; }
    /// Prints the moment and one line.
    void trace(const std::string& line) const;

    void post(Waiter& waiter) noexcept override;
    /// Runs `happening` after `delay` units of virtual time.
    void schedule(Happening& happening, std::uint64_t delay);

    /// Starts a task, which runs until it ends. `describe` describes it in reports.
    void spawn(Task<Result<void>> task, std::function<std::string()> describe);
    /// Runs events until none is left, `stop()` was called, or `event_limit` events have run.
    /// Returns false if it reached the limit.
    bool run(std::uint64_t event_limit = kNoLimit);
    /// Ends run() after the current event.
    void stop() noexcept { is_stopped_ = true; }
    /// Descriptions of the tasks that have not ended; after run(), these can never end.
    std::vector<std::string> unfinished() const;
    bool is_idle() const noexcept { return spawned_.empty(); }

    /// Runs `task` to its end, together with all other tasks.
    /// Throws Failure("progress") if it can never end.
    template <class T>
    T run(Task<T> task);

private:
    struct Item {
        std::uint64_t due;
        std::uint64_t order;
        Waiter* waiter;
        Happening* happening;
        bool operator>(const Item& other) const noexcept {
            return due != other.due ? due > other.due : order > other.order;
        }
    };
    struct Spawned {
        Task<Result<void>> task;
        std::function<std::string()> describe;
    };

    bool step();
    void reap();

    Random random_;
    std::uint64_t moment_ = 0;
    std::uint64_t clock_ = 0;
    std::uint64_t order_ = 0;
    std::uint64_t events_ = 0;
    std::uint64_t trace_ = 0;
    bool is_stopped_ = false;
    bool is_narrating_ = false;
    std::priority_queue<Item, std::vector<Item>, std::greater<>> items_;
    std::vector<std::unique_ptr<Spawned>> spawned_;
};

template <class T>
T World::run(Task<T> task) {
    task.start_on(*this);
    while (!task.is_done()) {
        if (step()) continue;
        // Other objects may still point into its frames, so they are not destroyed.
        [[maybe_unused]] auto* const kept = new Task<T>(std::move(task));
        throw Failure("progress", "a task waits for something that never happens");
    }
    return task.take_result();
}

}  // namespace qed::sim
