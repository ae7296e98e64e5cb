// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace qed::test {

/// Works in programs of which one source file includes support/replace_new.hpp.
inline thread_local long allocations_until_failure = -1;  // -1: never

/// While it lives, allocation number `count` of this thread (from 0) and all later ones fail.
class FailingNew {
public:
    explicit FailingNew(long count) noexcept { allocations_until_failure = count; }
    FailingNew(const FailingNew&) = delete;
    FailingNew& operator=(const FailingNew&) = delete;
    ~FailingNew() { allocations_until_failure = -1; }
};

}  // namespace qed::test
