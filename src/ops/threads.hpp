// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace qed {

/// Runs `work` on `count` threads, including the caller's, until all have ended. With fewer threads
/// from the system the work is slower but complete: `work` takes its share itself. It must not
/// throw, because other threads may wait for its results.
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

/// The number of threads for work that mostly reads: one for each processor, but at least enough to
/// give the storage several reads at once. Waiting threads cost very little.
inline unsigned reading_threads() {
    constexpr unsigned kFewest = 4;
    constexpr unsigned kMax = 16;
    return std::clamp(std::thread::hardware_concurrency(), kFewest, kMax);
}

}  // namespace qed
