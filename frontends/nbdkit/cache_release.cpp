// SPDX-License-Identifier: Apache-2.0
#include "cache_release.hpp"

#include <algorithm>
#include <cstdint>

#include "api.hpp"

namespace qed::nbdkit {
namespace {

constexpr int kCallsUntilUnused = 4;  // see CacheBudget::release_unused()

}  // namespace

CacheRelease::CacheRelease(CacheBudget& budget, std::chrono::milliseconds idle)
    : budget_(budget),
      period_(std::max(idle / kCallsUntilUnused, std::chrono::milliseconds(1))),
      thread_([this] { run(); }) {}

CacheRelease::~CacheRelease() {
    {
        const ScopedLock lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void CacheRelease::run() {
    while (!waits_for_stop()) {
        const std::uint64_t before = budget_.stats().bytes;
        if (before != 0) budget_.release_unused();
        const std::uint64_t after = budget_.stats().bytes;
        if (after < before) {
            nbdkit_debug("idle tables were evicted: %llu of %llu bytes are still in use",
                         static_cast<unsigned long long>(after),
                         static_cast<unsigned long long>(before));
        }
    }
}

bool CacheRelease::waits_for_stop() {
    const auto end = std::chrono::steady_clock::now() + period_;
    const ScopedLock lock(mutex_);
    while (!stopping_ && wake_.wait_until(mutex_, end)) {
    }
    return stopping_;
}

}  // namespace qed::nbdkit
