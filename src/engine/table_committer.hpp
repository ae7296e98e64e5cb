// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "cache/mapping_cache.hpp"
#include "coro/async_mutex.hpp"
#include "engine/cluster_allocator.hpp"
#include "engine/file_extender.hpp"
#include "engine/flush_group.hpp"
#include "formats/qed/header_store.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

class DeferredTables;

/// New values for neighbouring entries of one slice. The request that makes it holds the turns of
/// these clusters, and keeps the object in its frame until commit() returns.
struct TableUpdate : Waiter {
    std::uint64_t slice = 0;
    SliceRef pin;             ///< empty: the committer gets one
    std::uint32_t first = 0;  ///< entry in the slice
    std::uint32_t count = 0;
    Entry base = kUnallocatedEntry;  ///< first of `count` adjacent clusters, or a marker for all
    bool after_flush = false;  ///< the clusters' content must be durable before the entries are

    // For the committer.
    bool leads = false;
    std::optional<Error> error;
    Entry value(std::uint32_t index, std::uint64_t cluster_bytes) const {
        return is_data_entry(base) ? base + (index - first) * cluster_bytes : base;
    }
    std::uint32_t end() const { return first + count; }
};

/// Writes table updates: the only writer of an image's tables. Requests that ask while a group is
/// being written form the next group, which shares its flush and its table writes; nobody waits
/// for another request's data.
///
/// Order of a group (docs/architecture.md, "Order on disk"): NEED_CHECK where entries may get
/// ahead of data; the content of new tables; one flush where the promise needs it; the sectors of
/// tables and of the L1 table; then, and only then, the entries are visible in memory.
class TableCommitter {
public:
    struct Parts {
        BlockFile& file;
        MappingCache& cache;
        ClusterAllocator& allocator;
        FileExtender& extender;
        FlushGroup& flushes;
        HeaderStore& header;
    };
    struct Rules {
        bool strict = true;   ///< the tables are sound at every moment: nothing needs NEED_CHECK
        bool defers = false;  ///< updates wait in memory for write_deferred()
        std::uint64_t deferred_limit = 0;  ///< bytes of tables that may wait
    };
    TableCommitter(const Parts& parts, const Geometry& geometry, const Rules& rules);
    ~TableCommitter();

    /// Writes and publishes the update. On failure nothing was published, and what the file says
    /// about these clusters is unknown: the clusters it would have named must not be used again.
    Task<Result<void>> commit(TableUpdate& update);

    /// Writes what waits in memory, after the data it names. With the table lock held; the caller
    /// flushes afterwards. Cheap when nothing waits.
    Task<Result<void>> write_deferred();
    bool has_deferred() const noexcept { return deferred_bytes_.load() != 0; }

    /// Keeps groups from starting, for changes of the header and of the size.
    AsyncMutex& table_lock() noexcept { return table_lock_; }

    struct Totals {
        std::uint64_t groups = 0;
        std::uint64_t updates = 0;
        std::uint64_t writes = 0;
        std::uint64_t write_bytes = 0;
    };
    Totals totals() const noexcept;

private:
    struct Join;
    WaiterQueue take_waiting() noexcept;
    static void end_group(WaiterQueue& joined, const Result<void>& done) noexcept;
    /// Writes or defers the updates of the leader and of those who joined.
    Task<Result<void>> run_group(TableUpdate& leader, WaiterQueue joined);
    void count_group(std::size_t updates) noexcept;
    void pass_on_lead() noexcept;

    const Parts parts_;
    const Geometry geometry_;
    const Rules rules_;
    std::unique_ptr<DeferredTables> deferred_;  // guarded by table_lock_
    std::atomic<std::uint64_t> deferred_bytes_{0};
    AsyncMutex table_lock_;
    std::mutex mutex_;  // guards leading_ and waiting_
    bool leading_ = false;
    WaiterQueue waiting_;
    std::atomic<std::uint64_t> groups_{0};
    std::atomic<std::uint64_t> updates_{0};
    std::atomic<std::uint64_t> writes_{0};
    std::atomic<std::uint64_t> write_bytes_{0};
};

}  // namespace qed
