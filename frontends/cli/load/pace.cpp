// SPDX-License-Identifier: Apache-2.0
#include "cli/load/pace.hpp"

#include <algorithm>
#include <thread>

namespace qed::cli {
namespace {

constexpr std::chrono::milliseconds kNap{50};

}  // namespace

Pace::Pace(ProgressView& progress, std::uint64_t bytes_per_second)
    : progress_(progress), rate_(bytes_per_second), begin_(Clock::now()) {}

bool Pace::callback(void* context, std::uint64_t done, std::uint64_t total) {
    auto& self = *static_cast<Pace*>(context);
    if (self.rate_ > 0) self.brake(done);
    return self.progress_.update(done, total);
}

void Pace::brake(std::uint64_t done) const {
    const std::chrono::duration<double> due(static_cast<double>(done) / static_cast<double>(rate_));
    const auto until = begin_ + std::chrono::duration_cast<Clock::duration>(due);
    // Sleeps in short steps, so that Ctrl-C takes effect.
    while (Clock::now() < until && !Interrupts::requested()) {
        std::this_thread::sleep_for(std::min<Clock::duration>(until - Clock::now(), kNap));
    }
}

}  // namespace qed::cli
