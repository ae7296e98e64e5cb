// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/counters.hpp"
#include "cache/mapping_cache.hpp"
#include "engine/allocator.hpp"
#include "engine/cluster_range_lock.hpp"
#include "engine/cluster_size.hpp"
#include "engine/file_extender.hpp"
#include "engine/flush_group.hpp"
#include "engine/guest_disk.hpp"
#include "engine/metadata_writer.hpp"
#include "engine/request_epochs.hpp"
#include "engine/write_gate.hpp"
#include "qed/block_file.hpp"

namespace qed {

enum class EngineCounter : std::uint8_t {
    allocated_clusters,
    lock_waits,
    count_,
};

/// The parts of one engine that WritePath and ZeroPath use. They outlive both.
struct WriteContext {
    BlockFile& file;
    MappingCache& cache;
    GuestDisk& disk;
    RequestEpochs& epochs;
    Allocator& allocator;
    FileExtender& extender;
    FlushGroup& flushes;
    ClusterRangeLock& range_locks;
    MetadataWriter& metadata;
    Counters<EngineCounter>& counters;
    const WriteGate& gate;
    ClusterSize cluster;
    /// Every cluster is durable before an entry names it.
    bool strict = true;
    /// The engine flushes by itself when more freed bytes than this wait for a flush of the guest.
    std::uint64_t freed_limit = 0;

    /// The mapping of the first bytes of a range. Reads the file if memory does not know it.
    /// \errors corrupt_metadata if the mapping breaks the format's rules; io_error, out_of_memory
    Task<Result<Mapping>> look_up(GuestOffset at, std::uint64_t length) const;
};

}  // namespace qed
