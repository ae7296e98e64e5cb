// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <thread>

#include "base/mutex.hpp"
#include "qed/cache_budget.hpp"

namespace qed::nbdkit {

/// Evicts tables that no request has used for some time, and returns their memory to the system.
/// The server does this because the engine reads no clock. Owns one thread, which wakes up four
/// times in that time.
class CacheRelease {
public:
    /// \param idle  how long a slice of a table may be unused; not 0
    /// \throws std::system_error if no thread can be started
    CacheRelease(CacheBudget& budget, std::chrono::milliseconds idle);
    ~CacheRelease();
    CacheRelease(const CacheRelease&) = delete;
    CacheRelease& operator=(const CacheRelease&) = delete;

private:
    void run();
    /// Waits for a period. \returns true if the thread must end
    bool waits_for_stop();

    CacheBudget& budget_;
    const std::chrono::milliseconds period_;
    Mutex mutex_;
    bool stopping_ QED_GUARDED_BY(mutex_) = false;
    ConditionVariable wake_;
    std::thread thread_;  // last, so that all other members exist when it starts
};

}  // namespace qed::nbdkit
