// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/error.hpp"
#include "qed/units.hpp"

namespace qed {

/// Adjacent clusters of the image file.
struct ClusterRun {
    FileOffset offset{};
    std::uint64_t clusters = 0;
    /// What is not written does not read as zero: the clusters held data before.
    bool has_old_data = false;
    /// The disk may still hold old data there after a power cut: a table entry must not name the
    /// clusters before a flush that follows their new content.
    bool after_flush = false;
};

/// Which free clusters a reservation takes first.
enum class Prefer : std::uint8_t {
    holes,     ///< they read as zero
    occupied,  ///< the file system needs no more space for them
};

/// Hands out clusters of the image file, and takes back those that the image no longer needs.
/// docs/adr/0023-free-space.md has its rules. Does no I/O; any thread.
class Allocator {
public:
    /// Free space was found when the image was opened, and waits for its first flush
    /// (FlushObserver): the caller flushes before it reserves, or the file may grow instead.
    virtual bool wants_flush() const noexcept = 0;
    /// Up to `clusters` adjacent clusters, at least one: free ones before the file grows.
    /// \errors no_space when the file cannot get any larger
    virtual Result<ClusterRun> reserve(std::uint64_t clusters, Prefer prefer) = 0;
    /// Exactly `clusters` that read as zero, also after a power cut, once the file reaches there.
    virtual Result<ClusterRun> reserve_table(std::uint64_t clusters) = 0;
    /// Takes back a reservation that no table was ever told of.
    virtual void abandon(const ClusterRun& run) noexcept = 0;
    /// The same, of clusters that read as zeroes and that no request has written.
    virtual void abandon_unwritten(const ClusterRun& run) noexcept = 0;
    /// Takes back clusters that a table update, now written, does not name any more. They are free
    /// when a flush has covered that update, and the requests that may use them have ended.
    virtual void release(FileOffset offset, std::uint64_t clusters) noexcept = 0;
    /// Bytes that were released and that no flush has covered yet.
    virtual std::uint64_t unflushed_bytes() const noexcept = 0;

protected:
    ~Allocator() = default;
};

}  // namespace qed
