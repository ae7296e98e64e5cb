// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "coro/range_lock.hpp"
#include "engine/cluster_size.hpp"
#include "qed/units.hpp"

namespace qed {

/// The lock under which requests change the mapping of guest clusters: one at a time for each
/// cluster, in the order in which they came. Requests for other clusters do not wait.
class ClusterRangeLock {
public:
    explicit ClusterRangeLock(ClusterSize cluster) noexcept : cluster_(cluster) {}

    /// Every cluster that the `length` > 0 bytes at `at` touch, for this claim alone. Lives in the
    /// frame of the request; `const bool has_waited = co_await claim;`
    class Claim : public RangeLock::Claim {
    public:
        Claim(ClusterRangeLock& locks, GuestOffset at, std::uint64_t length) noexcept
            : RangeLock::Claim(locks.ranges_, locks.cluster_.index(at),
                               locks.cluster_.index(at + (length - 1)) + 1,
                               RangeLock::Mode::exclusive) {}
    };

private:
    const ClusterSize cluster_;
    RangeLock ranges_;
};

}  // namespace qed
