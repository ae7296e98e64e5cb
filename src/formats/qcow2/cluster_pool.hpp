// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "base/mutex.hpp"

namespace qed {

/// The clusters that were decompressed last, by where they are in the file: a guest that reads 4
/// KiB at a time would otherwise decompress each cluster many times.
///
/// Thread-safety: any member on any thread. A cluster stays as long as a reader has it.
class ClusterPool {
public:
    using Cluster = std::shared_ptr<const AlignedBuffer>;

    /// At most `bytes`, but two clusters at least.
    ClusterPool(std::uint64_t cluster_bytes, std::uint64_t bytes);

    /// Null: not here.
    Cluster find(std::uint64_t offset) noexcept;
    /// Replaces the cluster that was not asked for longest.
    void add(std::uint64_t offset, Cluster cluster) noexcept;

private:
    struct Slot {
        std::uint64_t offset = 0;
        std::uint64_t last_use = 0;
        Cluster cluster;
    };
    Mutex mutex_;
    std::uint64_t uses_ QED_GUARDED_BY(mutex_) = 0;
    std::vector<Slot> slots_ QED_GUARDED_BY(mutex_);
};

}  // namespace qed
