// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <thread>

#include "base/mutex.hpp"
#include "qed/cache_budget.hpp"

namespace qed::nbdkit {

/// Gives the memory of tables that nobody has used for a while back to the system: the engine has
/// no clock, the server has. Owns one thread, which wakes up four times in that while.
class CacheRelease {
public:
    /// \param idle  how long a slice of a table may be unused; not 0
    /// \throws std::system_error when there can be no thread
    CacheRelease(CacheBudget& budget, std::chrono::milliseconds idle);
    ~CacheRelease();
    CacheRelease(const CacheRelease&) = delete;
    CacheRelease& operator=(const CacheRelease&) = delete;

private:
    void run();
    /// For a period. \returns true: the thread is to end
    bool waits_for_stop();

    CacheBudget& budget_;
    const std::chrono::milliseconds period_;
    Mutex mutex_;
    bool stopping_ QED_GUARDED_BY(mutex_) = false;
    ConditionVariable wake_;
    std::thread thread_;  // last: everything else exists when it starts
};

}  // namespace qed::nbdkit
