// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

#include "qed/frame_pool.hpp"

namespace qed::test {

/// Works only in programs that include support/replace_new.hpp in one source file.
inline thread_local long allocations_until_failure = -1;  // -1: never
inline std::atomic<long> living_allocations = 0;

/// During its lifetime, allocation number `count` (counted from 0) and all later allocations of
/// this thread fail.
class FailingNew {
public:
    explicit FailingNew(long count) noexcept {
        FramePool::keep_at_most(0);  // a reused frame would not be allocated
        allocations_until_failure = count;
    }
    FailingNew(const FailingNew&) = delete;
    FailingNew& operator=(const FailingNew&) = delete;
    ~FailingNew() {
        allocations_until_failure = -1;
        FramePool::keep_at_most(FramePool::kMaxKept);
    }
};

}  // namespace qed::test
