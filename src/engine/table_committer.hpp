// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/mutex.hpp"
#include "cache/mapping_cache.hpp"
#include "coro/async_mutex.hpp"
#include "engine/allocator.hpp"
#include "engine/cluster_size.hpp"
#include "engine/dirty_marker.hpp"
#include "engine/file_extender.hpp"
#include "engine/flush_group.hpp"
#include "engine/metadata_writer.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

class DeferredTables;
class GuestDisk;
class TableSpace;

/// The positions of a format's tables.
struct TableLayout {
    ClusterSize cluster;
    std::uint64_t table_clusters = 1;  ///< of one L2 table
    FileOffset l1_table{};

    std::uint64_t table_bytes() const { return table_clusters << cluster.bits(); }
};

/// A MappingUpdate as new values for consecutive entries of one slice. Lives in the frame of
/// commit().
struct TableUpdate : Waiter {
    std::uint64_t slice = 0;
    SliceRef pin;             ///< empty: the committer pins the slice
    std::uint32_t first = 0;  ///< entry in the slice
    std::uint32_t count = 0;
    Entry base = kUnallocatedEntry;  ///< first of `count` clusters, or a marker
    bool after_flush = false;  ///< the clusters' content must be durable before the entries are

    // Used by the committer.
    bool leads = false;
    std::optional<Error> error;
    Entry value(std::uint32_t index, std::uint64_t cluster_bytes) const {
        return is_data_entry(base) ? base + (index - first) * cluster_bytes : base;
    }
    std::uint32_t end() const { return first + count; }
};

/// Writes table updates: the only writer of an image's tables. Requests that arrive while a group
/// is being written form the next group, which shares its flush and its table writes. No request
/// waits for the data of another request.
///
/// The order of a group (docs/architecture.md, "A power cut"): NEED_CHECK if entries may become
/// durable before the data that they name; the content of new tables; one flush if the write order
/// promises it; the sectors of tables and of the L1 table. Only then the entries are published to
/// readers.
class TableCommitter final : public MetadataWriter {
public:
    struct Parts {
        BlockFile& file;
        MappingCache& cache;
        Allocator& allocator;
        FileExtender& extender;
        FlushGroup& flushes;
        DirtyMarker& marker;
        const GuestDisk& disk;
    };
    struct Rules {
        bool strict = true;                ///< the tables are always consistent, without NEED_CHECK
        bool defers = false;               ///< updates wait in memory for write_deferred()
        std::uint64_t deferred_limit = 0;  ///< bytes of tables that may wait
        std::uint64_t freed_limit = 0;     ///< bytes of freed clusters that may wait for a flush
    };
    TableCommitter(const Parts& parts, const TableLayout& layout, const Rules& rules);
    ~TableCommitter();

    /// A slice.
    std::uint64_t update_span() const noexcept override {
        return layout_.cluster.bytes() << parts_.cache.addressing().entry_bits();
    }
    Task<Result<void>> commit(const MappingUpdate& mapping) override;
    Task<Result<void>> flush() override;

    /// Writes the updates that wait in memory, after the data that they name. The caller holds the
    /// table lock and flushes afterwards. Does nothing if no update waits.
    Task<Result<void>> write_deferred();
    bool has_deferred() const noexcept { return deferred_bytes_.load() != 0; }

    /// Excludes groups while the header or the size of the disk changes.
    AsyncMutex& table_lock() noexcept { return table_lock_; }

    const Parts& parts() const noexcept { return parts_; }

    struct Totals {
        std::uint64_t groups = 0;
        std::uint64_t updates = 0;
        std::uint64_t writes = 0;
        std::uint64_t write_bytes = 0;
    };
    Totals totals() const noexcept;

private:
    struct Join;
    TableUpdate update_for(const MappingUpdate& mapping) const;
    WaiterQueue take_waiting() noexcept;
    static void end_group(WaiterQueue& joined, const Result<void>& done) noexcept;
    /// Writes or defers the updates of the leader and of the requests that joined it.
    Task<Result<void>> run_group(TableUpdate& leader, WaiterQueue joined);
    void count_group(std::size_t updates) noexcept;
    bool exceeds_limits() const noexcept;
    bool frees_too_much() const noexcept;
    Task<Result<void>> write_excess();
    void pass_on_lead() noexcept;

    const Parts parts_;
    const TableLayout layout_;
    const Rules rules_;
    std::unique_ptr<DeferredTables> deferred_;  // guarded by table_lock_
    std::unique_ptr<TableSpace> space_;         // guarded by table_lock_
    std::atomic<std::uint64_t> deferred_bytes_{0};
    AsyncMutex table_lock_;
    Mutex mutex_;
    bool leading_ QED_GUARDED_BY(mutex_) = false;
    WaiterQueue waiting_ QED_GUARDED_BY(mutex_);
    std::atomic<std::uint64_t> groups_{0};
    std::atomic<std::uint64_t> updates_{0};
    std::atomic<std::uint64_t> writes_{0};
    std::atomic<std::uint64_t> write_bytes_{0};
};

}  // namespace qed
