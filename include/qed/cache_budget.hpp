// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "qed/api.hpp"
#include "qed/error.hpp"

namespace qed {

class MemoryBudget;

/// Enough to map 100 GiB at the default geometry: 50 tables of 256 KiB.
inline constexpr std::uint64_t kDefaultCacheBytes = std::uint64_t{50} * 256 * 1024;

/// The content of a budget now and what it has done since it was made, for all images that share
/// it.
struct CacheStats {
    std::uint64_t limit_bytes = 0;
    std::uint64_t bytes = 0;  ///< held now: slices, directories, records
    std::uint64_t peak_bytes = 0;
    std::uint64_t slices = 0;  ///< table slices in memory now
    std::uint64_t pinned = 0;  ///< of these, pinned by requests in flight
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t coalesced = 0;  ///< misses that joined a load under way
    std::uint64_t loads_in_flight = 0;
    std::uint64_t read_bytes = 0;  ///< table bytes read from files
    std::uint64_t commits = 0;
    std::uint64_t duplicates_dropped = 0;
    std::uint64_t stale_dropped = 0;  ///< read-ahead that an update or eviction overtook
    std::uint64_t evictions = 0;
    std::uint64_t grows = 0;    ///< times that pinned slices made the cache exceed its limit
    std::uint64_t shrinks = 0;  ///< times that the cache returned to its limit
};

/// Memory for the L2 tables of any number of images, in bytes. The process has one budget for all
/// images, unless the caller makes more. Thread-safe. A budget outlives every image that uses it.
class QED_API CacheBudget {
public:
    /// \param limit_bytes  at least 64 KiB; smaller values are raised to that
    static std::shared_ptr<CacheBudget> create(std::uint64_t limit_bytes);
    /// The budget of the process: kDefaultCacheBytes until set_limit() says otherwise.
    static std::shared_ptr<CacheBudget> process();

    virtual ~CacheBudget() = default;
    CacheBudget(const CacheBudget&) = delete;
    CacheBudget& operator=(const CacheBudget&) = delete;

    virtual void set_limit(std::uint64_t limit_bytes) = 0;
    /// Evicts every unpinned slice and returns its memory to the system.
    virtual void trim() = 0;
    /// Evicts the slices of all images that no request used during the last four calls, and returns
    /// their memory to the system. A program calls this from a timer, so that idle images release
    /// memory. The program chooses the interval; the engine reads no clock.
    virtual void release_unused() = 0;
    virtual CacheStats stats() const = 0;

private:
    CacheBudget() = default;
    friend class MemoryBudget;  // the only implementation: images rely on it
};

}  // namespace qed
