// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/cluster_sort.hpp"
#include "engine/compactor.hpp"
#include "engine/idle_work.hpp"
#include "engine/table_committer.hpp"
#include "engine/write_context.hpp"
#include "engine/write_path.hpp"
#include "engine/zero_path.hpp"
#include "qed/stats.hpp"

namespace qed {

/// The copy-on-write engine of one image: owns the parts that change the image and connects them.
/// It knows no format. It reaches the format through seams: the mapping in memory (MappingCache),
/// the positions of tables (TableLayout), the dirty mark (DirtyMarker), and the disk that the guest
/// sees (GuestDisk).
///
/// Thread-safety: any member from any thread.
class CowEngine {
public:
    /// The parts that the engine uses; all of them outlive it.
    struct Base {
        BlockFile& file;
        MappingCache& cache;
        FlushGroup& flushes;
        DirtyMarker& marker;
        GuestDisk& disk;
        RequestEpochs& epochs;
    };
    /// \param file_bytes  length of the file; no table names a cluster past its last whole one
    CowEngine(const Base& base, const TableLayout& layout, const TableCommitter::Rules& rules,
              std::uint64_t file_bytes);

    WritePath& writes() noexcept { return writes_; }
    ZeroPath& zeroes() noexcept { return zeroes_; }
    IdleWork& idle() noexcept { return idle_; }
    ClusterSort& sort() noexcept { return sort_; }
    Compactor& compactor() noexcept { return compactor_; }
    TableCommitter& tables() noexcept { return tables_; }
    ClusterAllocator& allocator() noexcept { return allocator_; }
    ClusterRangeLock& range_locks() noexcept { return range_locks_; }
    const WriteContext& context() const noexcept { return context_; }

    /// Makes everything durable that was completed before the call.
    Task<Result<void>> flush() { return tables_.flush(); }
    void add_to(Stats& stats) const;

private:
    FlushGroup& flushes_;
    ClusterAllocator allocator_;
    FileExtender extender_;
    TableCommitter tables_;
    ClusterRangeLock range_locks_;
    Counters<EngineCounter> counters_;
    WriteGate gate_;
    const WriteContext context_;
    WritePath writes_;
    ZeroPath zeroes_;
    IdleWork idle_;
    ClusterMove moves_;
    Compactor compactor_;
    ClusterSort sort_;
};

}  // namespace qed
