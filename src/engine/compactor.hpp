// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/cluster_allocator.hpp"
#include "engine/cluster_move.hpp"
#include "engine/owner_reader.hpp"
#include "engine/table_committer.hpp"
#include "engine/table_move.hpp"
#include "engine/write_context.hpp"
#include "qed/compact_step.hpp"
#include "qed/task.hpp"

namespace qed {

// SHRINKING IN SERVICE
//
// Moves clusters and tables from the end of the file into free space nearer its start, a piece with
// each step, while requests run. The invariants are those of
// docs/adr/0027-shrinking-in-service.md.
//
//     begin -> reading -> moving -> begin       owners were moved: look again
//                            |
//                            v
//                         tables -> begin       only tables are left to move
//
// begin    flushes, so that what was released is free and the tables in the file are complete.
//          Computes the end that the file could have. The tables at the end are to go right before
//          it: data_end_ is the start of that part, and no data may stay there or later.
// reading  reads all tables, sequentially and without a lock, for the owners of the clusters from
//          data_end_ on. Keeps the last kMostOwners of them: 1 MiB.
// moving   moves these owners, each under its range lock, if the owner still is one.
// tables   packs the tables at the end, one with each step. If no free run is long enough for a
//          table, the table after the first run goes to the end of the file: this makes the run
//          longer.
//
// A plan that moves nothing is the end, unless requests have changed the free space since it began.
//
// Not moved: the header, the L1 table, and what only tables past the end of the disk name. The file
// then ends after them.
class Compactor {
public:
    Compactor(const WriteContext& context, ClusterMove& moves, TableCommitter& tables,
              ClusterAllocator& allocator, const TableLayout& layout);

    /// Image::compact_step().
    Task<Result<CompactStep>> step(std::uint64_t bytes);
    /// Opens the gate, which a step may have left closed for the next one.
    Task<Result<void>> pause();

private:
    enum class Phase : std::uint8_t { begin, reading, moving, tables };
    /// A cluster of the file, and the guest cluster that was mapped to it when the tables were
    /// read.
    struct Owner {
        std::uint64_t file_cluster = 0;
        std::uint64_t guest_cluster = 0;
    };
    struct Table {
        std::uint64_t l1_index = 0;
        std::uint64_t offset = 0;
    };
    static constexpr std::size_t kMostOwners = 65'536;

    Task<Result<void>> run_phases(std::uint64_t bytes);
    Task<Result<void>> begin();
    std::vector<Table> find_last_tables();
    Task<Result<std::uint64_t>> read_tables(std::uint64_t bytes);
    void add_owner(Owner owner);
    Task<Result<void>> move_owners(std::uint64_t bytes);
    Task<Result<void>> move_one_table();
    void end_plan() noexcept;

    const WriteContext& context_;
    ClusterMove& moves_;
    TableCommitter& tables_;
    ClusterAllocator& allocator_;
    const TableLayout layout_;
    OwnerReader reader_;
    TableMove table_move_;

    // Guarded by the lock of moves_.
    Phase phase_ = Phase::begin;
    bool has_more_ = false;
    std::uint64_t moved_ = 0;           // bytes, in this step
    std::uint64_t moved_in_phase_ = 0;  // bytes, since the phase began
    std::uint64_t changes_ = 0;         // of the allocator when the plan was begun
    std::uint64_t data_end_ = 0;        // no data may lie there or later
    std::uint64_t next_table_ = 0;      // L1 index
    std::vector<Owner> owners_;
};

}  // namespace qed
