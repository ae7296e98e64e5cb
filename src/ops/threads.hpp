// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace qed {

/// Runs `work` on `count` threads at once, the caller's among them, until all have ended. Where the
/// system gives fewer threads it is slower, not wrong: `work` takes its share itself. It must not
/// throw: the others may wait for what this one has begun.
template <class Work>
void run_on_threads(unsigned count, const Work& work) noexcept {
    static_assert(noexcept(work()));
    std::vector<std::jthread> helpers;
    const auto add_one = [&] {
        try {
            helpers.emplace_back(work);
            return true;
        } catch (const std::system_error&) {
            return false;
        } catch (const std::bad_alloc&) {
            return false;
        }
    };
    for (unsigned running = 1; running < count && add_one();)
        ++running;
    work();
}

/// Threads that pay for work that mostly reads: one for each processor, but at least so many that
/// storage has several reads at once; threads that wait cost next to nothing.
inline unsigned reading_threads() {
    constexpr unsigned kFewest = 4;
    constexpr unsigned kMax = 16;
    return std::clamp(std::thread::hardware_concurrency(), kFewest, kMax);
}

}  // namespace qed
