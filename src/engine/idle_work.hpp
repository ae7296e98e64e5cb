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

/// What an image does when its guest is idle and when it is closed: it makes everything durable,
/// clears the dirty mark, and gives free space back to the file system.
class IdleWork {
public:
    IdleWork(const TableCommitter::Parts& parts, TableCommitter& tables, ClusterSize cluster)
        : parts_(parts), tables_(tables), cluster_(cluster) {}

    /// Requests may run meanwhile.
    Task<Result<void>> quiesce();
    /// After quiesce(), with no request under way: cuts the free end off the file.
    Task<Result<void>> finish();

private:
    Task<Result<void>> make_clean();
    Task<Result<void>> punch_free_space();

    const TableCommitter::Parts parts_;
    TableCommitter& tables_;
    const ClusterSize cluster_;
};

}  // namespace qed
