// SPDX-License-Identifier: Apache-2.0
#include "sim/world.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace qed::sim {

namespace {

constexpr std::uint64_t kResumeSpread = 6;  // the longest random delay of a posted coroutine

}  // namespace

World::~World() =
    default;  // does not destroy unfinished tasks, which other objects still reference

void World::trace(const std::string& line) const {
    fmt::print("{:>8}  {}\n", moment_, line);
}

void World::post(Waiter& waiter) noexcept {
    items_.push({clock_ + random_.below(kResumeSpread), ++order_, &waiter, nullptr});
}

void World::schedule(Happening& happening, std::uint64_t delay) {
    items_.push({clock_ + delay, ++order_, nullptr, &happening});
}

void World::spawn(Task<Result<void>> task, std::function<std::string()> describe) {
    spawned_.push_back(std::make_unique<Spawned>(
        Spawned{.task = std::move(task), .describe = std::move(describe)}));
    spawned_.back()->task.start_on(*this);
}

bool World::step() {
    if (items_.empty()) return false;
    const Item item = items_.top();
    items_.pop();
    clock_ = std::max(clock_, item.due);
    ++events_;
    tick();
    if (item.waiter != nullptr) {
        item.waiter->handle.resume();
    } else {
        item.happening->happen();
    }
    return true;
}

void World::reap() {
    std::erase_if(spawned_,
                  [](const std::unique_ptr<Spawned>& spawned) { return spawned->task.is_done(); });
}

bool World::run(std::uint64_t event_limit) {
    is_stopped_ = false;
    std::uint64_t events = 0;
    while (!is_stopped_ && events < event_limit && step()) {
        // Few tasks finish, so looking for them at each event would cost too much.
        if (++events % 64 == 0) reap();
    }
    reap();
    return events < event_limit;
}

std::vector<std::string> World::unfinished() const {
    std::vector<std::string> names;
    for (const auto& spawned : spawned_) {
        if (!spawned->task.is_done()) names.push_back(spawned->describe());
    }
    return names;
}

}  // namespace qed::sim
