// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/cluster_allocator.hpp"
#include "engine/cluster_size.hpp"
#include "engine/dirty_marker.hpp"
#include "engine/file_extender.hpp"
#include "engine/flush_group.hpp"
#include "engine/table_committer.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// The work of an image when its guest is idle and when it is closed: it makes everything durable,
/// clears the dirty mark, and gives free space back to the file system.
class IdleWork {
public:
    IdleWork(const TableCommitter::Parts& parts, TableCommitter& tables,
             ClusterAllocator& allocator, ClusterSize cluster)
        : parts_(parts), tables_(tables), allocator_(allocator), cluster_(cluster) {}

    /// Requests may run meanwhile. A failure to give space back is none.
    Task<Result<void>> quiesce();
    /// Truncates the file before its free end. Space that was found at open is free after a flush.
    Task<Result<void>> cut() { return parts_.extender.cut(allocator_); }

private:
    Task<Result<void>> make_clean();
    Task<Result<void>> punch_free_space();
    Task<Result<void>> punch(const ClusterRun& run);

    const TableCommitter::Parts parts_;
    TableCommitter& tables_;
    ClusterAllocator& allocator_;
    const ClusterSize cluster_;
};

}  // namespace qed
