// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "engine/cluster_allocator.hpp"
#include "engine/cluster_move.hpp"
#include "engine/owner_reader.hpp"
#include "engine/table_committer.hpp"
#include "qed/compact_step.hpp"
#include "qed/task.hpp"

namespace qed {

/// Puts the data clusters of the file into the order of the disk, one window of the file after the
/// other, starting at the front. Tables stay where they are.
///
/// A step handles one window: it reads the tables for the owners of the window and for the next
/// clusters of the disk, moves the owners out of the window, flushes, and moves the next clusters
/// of the disk in. Clusters that are in their place already are not moved. Each move has the order
/// of docs/adr/0027-shrinking-in-service.md, so the image is sound at any moment. Requests may run
/// meanwhile; what they change is then not in order.
///
/// Memory: 48 bytes for each cluster of a window. The file grows by at most a window, for the
/// owners that are moved out of it.
class ClusterSort {
public:
    static constexpr std::uint64_t kMostClusters = 65'536;  ///< of a window

    ClusterSort(const WriteContext& context, ClusterMove& moves, TableCommitter& tables,
                ClusterAllocator& allocator, const TableLayout& layout)
        : context_(context),
          moves_(moves),
          tables_(tables),
          allocator_(allocator),
          reader_(context, layout) {}

    /// Image::sort_step().
    Task<Result<SortStep>> step(std::uint64_t bytes);

private:
    /// A guest cluster and its place, a number of a cluster in the file.
    struct Owner {
        std::uint64_t guest_cluster = 0;
        std::uint64_t place = 0;
    };
    Task<Result<void>> read_window(std::uint64_t clusters);
    void find_places();
    Task<Result<void>> move_out();
    Task<Result<void>> move_in();
    Task<Result<void>> run(const std::vector<ClusterMove::Plan>& plans);
    FileOffset offset_of(std::uint64_t place) const noexcept {
        return {place << context_.cluster.bits()};
    }

    const WriteContext& context_;
    ClusterMove& moves_;
    TableCommitter& tables_;
    ClusterAllocator& allocator_;
    OwnerReader reader_;

    // Guarded by the lock of moves_.
    std::uint64_t next_guest_ = 0;  // guest clusters before are in order
    std::uint64_t begin_ = 0;       // of the window, in clusters of the file
    std::uint64_t end_ = 0;
    std::vector<Owner> next_;            // of the disk, in its order
    std::vector<Owner> owners_;          // of the window, in its order
    std::vector<std::uint64_t> places_;  // for the first of next_
    std::uint64_t moved_ = 0;
};

}  // namespace qed
