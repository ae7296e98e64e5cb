// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "cli/terminal/progress.hpp"

namespace qed::cli {

/// Progress, and the rate limit of -r. Both use the same callback.
class Pace {
public:
    /// \param bytes_per_second  0: no limit
    Pace(ProgressView& progress, std::uint64_t bytes_per_second);
    /// For the operations of libqed.
    Progress hooks() { return {.callback = callback, .context = this}; }

private:
    static bool callback(void* context, std::uint64_t done, std::uint64_t total);
    using Clock = std::chrono::steady_clock;
    void brake(std::uint64_t done) const;

    ProgressView& progress_;
    std::uint64_t rate_;
    Clock::time_point begin_;
};

}  // namespace qed::cli
