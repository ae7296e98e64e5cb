// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/mutex.hpp"
#include "engine/allocator.hpp"
#include "engine/cluster_size.hpp"
#include "engine/flush_observer.hpp"
#include "engine/free_clusters.hpp"
#include "engine/request_epochs.hpp"

namespace qed {

/// The Allocator of an open image: free clusters first, then past the end of the file.
///
/// Each cluster is in use, or in one of these sets:
///
///     release() -> released_ -> flushing_ -> in_use_ -> occupied_ -> take_occupied(), punch
///                        (a flush)    (two epochs)                         |
///     found at open -> found_ -> (a flush) -> occupied_ or zero_           v
///                                              zero_ <- (a flush) <- holes_ <- punched()
///
/// reserve() takes from zero_, holes_ and occupied_. All members may be called from any thread.
class ClusterAllocator final : public Allocator, public FlushObserver {
public:
    ClusterAllocator(ClusterSize cluster, RequestEpochs& epochs)
        : cluster_(cluster), epochs_(epochs) {}

    /// Nothing is named or free at or past `end_bytes`, a multiple of the cluster size.
    void set_end(std::uint64_t end_bytes);
    /// Everything that may be named lies before this.
    std::uint64_t end() const;
    /// A cluster below end() that no table names, found before the first reservation. `run` is
    /// usable after the next flush.
    /// \param is_hole  the file has a hole there
    void add_found(FreeClusters::Run run, bool is_hole) noexcept;
    /// Whether the last cluster before end() was found free.
    bool has_free_end() const;

    bool wants_flush() const noexcept override {
        return has_found_.load(std::memory_order_relaxed);
    }
    Result<ClusterRun> reserve(std::uint64_t clusters, Prefer prefer) override;
    Result<ClusterRun> reserve_table(std::uint64_t clusters) override;
    void abandon(const ClusterRun& run) noexcept override;
    void abandon_unwritten(const ClusterRun& run) noexcept override;
    void release(FileOffset offset, std::uint64_t clusters) noexcept override;
    std::uint64_t unflushed_bytes() const noexcept override {
        return unflushed_.load(std::memory_order_relaxed);
    }

    /// The lowest free clusters before `limit`, up to `clusters` adjacent ones; none: there is
    /// none.
    ClusterRun reserve_below(FileOffset limit, std::uint64_t clusters) noexcept;
    /// The lowest free cluster at or after `begin`, or one past the end of the file.
    Result<ClusterRun> reserve_from(FileOffset begin);
    bool is_free(FileOffset cluster) const noexcept;
    /// The lowest `clusters` adjacent free clusters in [begin, end), or none.
    ClusterRun reserve_between(FileOffset begin, FileOffset end, std::uint64_t clusters) noexcept;
    /// The end of the first run of free clusters at or after `begin`; end() if there is none.
    FileOffset end_of_first_free(FileOffset begin) const noexcept;
    /// The first free cluster; past all clusters if there is none.
    FileOffset lowest_free() noexcept;
    /// Where the file could end if all of its free clusters were at the end.
    std::uint64_t kept_end() const;
    /// Released clusters wait for a flush, or for requests that may use them.
    bool has_waiting() const noexcept;

    /// Changes whenever a cluster is reserved, abandoned or released.
    std::uint64_t changes() const noexcept;
    /// A moment, for have_ended().
    std::uint64_t moment() const noexcept;
    /// Whether all requests that were in flight at `moment` have ended.
    bool have_ended(std::uint64_t moment) noexcept;

    void flush_begins() noexcept override;
    void flush_succeeded() noexcept override;

    /// A run of free clusters that may occupy space, to be punched: the caller's until it calls
    /// punched(), or abandon() if it could not. No clusters: there is none.
    ClusterRun take_occupied() noexcept;
    void punched(const ClusterRun& run) noexcept;

    /// Takes the free clusters that lie right before end(), so that the file can be truncated: no
    /// request gets clusters from there until end_cut(). One cut at a time.
    /// \returns where the file may end
    std::uint64_t begin_cut() noexcept;
    /// \param is_cut  the file now ends where begin_cut() said
    void end_cut(bool is_cut) noexcept;

    std::uint64_t reused_clusters() const;
    /// Released so far.
    std::uint64_t freed_clusters() const;
    /// In all sets, reserved ones not counted.
    std::uint64_t free_clusters() const;

private:
    FreeClusters::Run run_of(FileOffset offset, std::uint64_t clusters) const noexcept {
        return {offset.value >> cluster_.bits(), clusters};
    }
    void collect() noexcept QED_REQUIRES(mutex_);
    bool advance() noexcept QED_REQUIRES(mutex_);
    std::uint64_t count_free() const noexcept QED_REQUIRES(mutex_);
    bool is_free(std::uint64_t cluster) const noexcept QED_REQUIRES(mutex_);
    ClusterRun take_free(std::uint64_t clusters, Prefer prefer) noexcept QED_REQUIRES(mutex_);
    Result<ClusterRun> reserve_past_end(std::uint64_t clusters) QED_REQUIRES(mutex_);

    const ClusterSize cluster_;
    RequestEpochs& epochs_;
    std::atomic<std::uint64_t> unflushed_{0};
    std::atomic<bool> has_found_{false};
    mutable Mutex mutex_;  // held for each step of epochs_ as well
    std::uint64_t end_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t changes_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t reused_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t freed_ QED_GUARDED_BY(mutex_) = 0;
    FreeClusters released_ QED_GUARDED_BY(mutex_);  ///< waiting for a flush to begin
    FreeClusters flushing_ QED_GUARDED_BY(mutex_);  ///< covered by the flush under way
    /// Unlinked for good in this and the last epoch, by parity.
    std::array<FreeClusters, 2> in_use_ QED_GUARDED_BY(mutex_);
    FreeClusters occupied_ QED_GUARDED_BY(mutex_);        ///< free, may hold old data
    FreeClusters holes_ QED_GUARDED_BY(mutex_);           ///< free, zero until a power cut
    FreeClusters flushing_holes_ QED_GUARDED_BY(mutex_);  ///< the same, covered by the flush
    FreeClusters zero_ QED_GUARDED_BY(mutex_);            ///< free, zero for good
    FreeClusters found_ QED_GUARDED_BY(mutex_);           ///< waiting for the first flush
    FreeClusters found_holes_ QED_GUARDED_BY(mutex_);
    bool covers_found_ QED_GUARDED_BY(mutex_) = false;  ///< the flush under way does
    std::uint64_t cut_begin_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t cut_end_ QED_GUARDED_BY(mutex_) = 0;
    /// A cut that is not durable went up to here: old data may be back after a power cut.
    std::uint64_t stale_end_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t flushing_stale_end_ QED_GUARDED_BY(mutex_) = 0;
};

}  // namespace qed
