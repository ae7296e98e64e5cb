// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/counters.hpp"
#include "cache/mapping_cache.hpp"
#include "engine/cluster_allocator.hpp"
#include "engine/cluster_range_lock.hpp"
#include "engine/cluster_size.hpp"
#include "engine/file_extender.hpp"
#include "engine/flush_group.hpp"
#include "engine/guest_disk.hpp"
#include "engine/metadata_writer.hpp"
#include "engine/request_epochs.hpp"
#include "qed/block_file.hpp"

namespace qed {

enum class EngineCounter : std::uint8_t {
    allocated_clusters,
    lock_waits,
    count_,
};

/// What WritePath and ZeroPath work with: the parts of one engine. They outlive both.
struct WriteContext {
    BlockFile& file;
    MappingCache& cache;
    GuestDisk& disk;
    RequestEpochs& epochs;
    ClusterAllocator& allocator;
    FileExtender& extender;
    FlushGroup& flushes;
    ClusterRangeLock& range_locks;
    MetadataWriter& metadata;
    Counters<EngineCounter>& counters;
    ClusterSize cluster;
    /// Every cluster is durable before an entry names it.
    bool strict = true;
    /// So many freed bytes may wait for a flush of the guest; then the engine flushes on its own.
    std::uint64_t freed_limit = 0;

    /// The mapping of the first bytes of a range, read from the file if need be.
    /// \errors corrupt_metadata where it breaks the format's rules; io_error, out_of_memory
    Task<Result<Mapping>> look_up(GuestOffset at, std::uint64_t length) const;
};

}  // namespace qed
