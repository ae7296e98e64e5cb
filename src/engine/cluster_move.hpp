// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "coro/async_mutex.hpp"
#include "engine/cluster_allocator.hpp"
#include "engine/write_context.hpp"
#include "engine/write_gate.hpp"
#include "qed/task.hpp"

namespace qed {

/// Moves data clusters to other places in the file while requests run: the steps of a write into a
/// new cluster, with the old content. docs/adr/0027-shrinking-in-service.md has the invariants.
class ClusterMove {
public:
    /// A guest cluster, its place when the tables were read, and the place that it shall have.
    struct Plan {
        std::uint64_t guest_cluster = 0;
        FileOffset from{};
        ClusterRun to;  ///< one cluster, reserved; given back if the guest cluster is not at `from`
    };

    ClusterMove(const WriteContext& context, WriteGate& gate, ClusterAllocator& allocator)
        : context_(context), gate_(gate), allocator_(allocator) {}

    /// Held by the code that plans and moves: one at a time.
    AsyncMutex& lock() noexcept { return mutex_; }

    /// Closes the write gate. False: requests that have not seen it closed are in flight, so
    /// nothing may be moved yet. The gate stays closed, and a later call may return true.
    bool begin() noexcept;
    void end() noexcept { gate_.open(); }

    /// Moves the clusters; several moves share a flush and their table writes.
    /// \returns the number of bytes that were moved
    Task<Result<std::uint64_t>> run(std::span<const Plan> plans);

private:
    Task<Result<void>> move(const Plan& plan, std::uint64_t& moved);
    Task<Result<void>> copy(FileOffset from, FileOffset to);

    const WriteContext& context_;
    WriteGate& gate_;
    ClusterAllocator& allocator_;
    AsyncMutex mutex_;
    std::uint64_t closed_at_ = 0;  // moment at which the gate was closed; guarded by mutex_
};

}  // namespace qed
