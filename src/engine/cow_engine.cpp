// SPDX-License-Identifier: Apache-2.0
#include "engine/cow_engine.hpp"

namespace qed {

CowEngine::CowEngine(const Base& base, const TableLayout& layout,
                     const TableCommitter::Rules& rules, std::uint64_t file_bytes)
    : flushes_(base.flushes),
      allocator_(layout.cluster, base.epochs),
      extender_(base.file),
      tables_({.file = base.file,
               .cache = base.cache,
               .allocator = allocator_,
               .extender = extender_,
               .flushes = flushes_,
               .marker = base.marker,
               .disk = base.disk},
              layout, rules),
      range_locks_(layout.cluster),
      context_{.file = base.file,
               .cache = base.cache,
               .disk = base.disk,
               .epochs = base.epochs,
               .allocator = allocator_,
               .extender = extender_,
               .flushes = flushes_,
               .range_locks = range_locks_,
               .metadata = tables_,
               .counters = counters_,
               .gate = gate_,
               .cluster = layout.cluster,
               .strict = rules.strict,
               .freed_limit = rules.freed_limit},
      writes_(context_),
      zeroes_(context_, writes_),
      idle_(tables_.parts(), tables_, allocator_, layout.cluster),
      moves_(context_, gate_, allocator_),
      compactor_(context_, moves_, tables_, allocator_, layout),
      sort_(context_, moves_, tables_, allocator_, layout) {
    flushes_.add_observer(allocator_);
    extender_.start_at(file_bytes);
    allocator_.set_end(layout.cluster.round_up(file_bytes));
}

void CowEngine::add_to(Stats& stats) const {
    const TableCommitter::Totals tables = tables_.totals();
    stats.file_flushes = flushes_.count();
    stats.allocated_clusters = counters_.sum(EngineCounter::allocated_clusters);
    stats.turn_waits = counters_.sum(EngineCounter::lock_waits);
    stats.freed_clusters = allocator_.freed_clusters();
    stats.reused_clusters = allocator_.reused_clusters();
    stats.commit_groups = tables.groups;
    stats.grouped_updates = tables.updates;
    stats.table_writes = tables.writes;
    stats.table_write_bytes = tables.write_bytes;
}

}  // namespace qed
