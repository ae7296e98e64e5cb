// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>

#include "base/mutex.hpp"
#include "engine/cluster_size.hpp"
#include "engine/flush_observer.hpp"
#include "engine/request_epochs.hpp"
#include "qed/error.hpp"
#include "qed/units.hpp"

namespace qed {

/// Adjacent clusters of the image file.
struct ClusterRun {
    FileOffset offset{};
    std::uint64_t clusters = 0;
    /// Held data before: what is not written does not read as zero, and a table entry must not
    /// name it before its new content is durable.
    bool reused = false;
};

/// Hands out clusters of the image file: freed ones first, then past the end. Does no I/O.
///
/// A cluster that a table update has unlinked goes through three stations before it is handed out
/// again: the unlinking is flushed; every request that may still use it has ended; then it is
/// free. All members may be called from any thread.
class ClusterAllocator final : public FlushObserver {
public:
    ClusterAllocator(ClusterSize cluster, RequestEpochs& epochs)
        : cluster_(cluster), epochs_(epochs) {}

    /// No table names a cluster at or past `end_bytes`, a multiple of the cluster size.
    void set_end(std::uint64_t end_bytes);
    /// Everything that may be named lies before this.
    std::uint64_t end() const;

    /// Up to `clusters` adjacent clusters, at least one.
    /// \errors no_space when the file cannot get any larger
    Result<ClusterRun> reserve(std::uint64_t clusters);
    /// Exactly `clusters` past the end, which read as zeroes once the file reaches there.
    Result<ClusterRun> reserve_fresh(std::uint64_t clusters);
    /// A reservation that no table was ever told of.
    void give_back(const ClusterRun& run) noexcept;
    /// Clusters that a table update, now written, does not name any more.
    void unlinked(FileOffset offset, std::uint64_t clusters) noexcept;

    void flush_begins() noexcept override;
    void flush_succeeded() noexcept override;

    /// A run of free clusters whose old content the file still holds, to be punched: the caller's
    /// until it calls punched(). No clusters: there is none.
    ClusterRun take_unpunched() noexcept;
    void punched(const ClusterRun& run) noexcept;
    /// Lowers the end over free clusters that lie right before it. The file may be cut there.
    std::uint64_t trim_end() noexcept;

    /// Bytes that table updates have freed and that no flush has covered yet.
    std::uint64_t unflushed_bytes() const noexcept {
        return unflushed_.load(std::memory_order_relaxed);
    }
    std::uint64_t reused_clusters() const;
    /// Given back by table updates so far.
    std::uint64_t freed_clusters() const;

private:
    /// Runs by file offset, merged; bounded: what does not fit is leaked, which is harmless.
    class RunSet {
    public:
        void add(std::uint64_t offset, std::uint64_t bytes) noexcept;
        bool empty() const { return runs_.empty(); }
        void move_to(RunSet& other) noexcept;
        /// Takes up to `bytes` from the first run.
        std::uint64_t take(std::uint64_t bytes, std::uint64_t* offset) noexcept;
        /// Takes the run that ends at `end`; its start, or `end` when there is none.
        std::uint64_t take_before(std::uint64_t end) noexcept;

    private:
        std::map<std::uint64_t, std::uint64_t> runs_;  // offset -> bytes
    };
    void collect() noexcept QED_REQUIRES(mutex_);
    Result<ClusterRun> reserve_past_end(std::uint64_t clusters) QED_REQUIRES(mutex_);

    const ClusterSize cluster_;
    RequestEpochs& epochs_;
    std::atomic<std::uint64_t> unflushed_{0};
    mutable Mutex mutex_;  // held for each step of epochs_ as well
    std::uint64_t end_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t reused_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t freed_ QED_GUARDED_BY(mutex_) = 0;
    RunSet unlinked_ QED_GUARDED_BY(mutex_);  ///< waiting for a flush to begin
    RunSet flushing_ QED_GUARDED_BY(mutex_);  ///< covered by the flush under way
    /// Unlinked for good in this and the last epoch, by parity.
    std::array<RunSet, 2> in_use_ QED_GUARDED_BY(mutex_);
    RunSet unpunched_ QED_GUARDED_BY(mutex_);  ///< free, their old content still in the file
    RunSet punched_ QED_GUARDED_BY(mutex_);    ///< free, reading as zero or not worth asking
};

}  // namespace qed
