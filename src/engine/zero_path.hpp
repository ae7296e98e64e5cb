// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/write_context.hpp"
#include "engine/write_path.hpp"

namespace qed {

/// Write-zeroes and discard: markers in the mapping for whole clusters, writes at the edges.
///
/// Thread-safety: any number of requests at once. Cost: one mapping update for each update span
/// that changes; no data is written for whole clusters, except to keep them allocated.
class ZeroPath {
public:
    using State = MappingUpdate::State;

    struct Options {
        bool may_write = true;         ///< zero bytes, where a mapping cannot say it
        bool keeps_allocated = false;  ///< writes zero bytes everywhere instead of freeing clusters
        bool marks_always = false;     ///< also clusters that read as zeroes for want of a base
    };

    ZeroPath(const WriteContext& context, WritePath& writes) : context_(context), writes_(writes) {}

    /// The guest reads zeroes from `at` to `end` afterwards.
    /// \errors unsupported where zero bytes would have to be written against `options`
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t end, Options options);
    /// Frees the whole clusters between `at` and `end`; the guest reads zeroes there.
    Task<Result<void>> discard(GuestOffset at, std::uint64_t end);

    /// Whole clusters from `at` to `end` get the state `marker`, and the clusters that they named
    /// are freed. When `end` lies within a cluster, that one is marked if the disk still ends
    /// there: its range lock keeps the disk from growing. Mappings that show the same now are left
    /// alone unless `always`.
    /// \returns the end of what is marked
    Task<Result<std::uint64_t>> mark(GuestOffset at, std::uint64_t end, State marker,
                                     bool always = false);
    /// Zeroes in part of a cluster, or of two: written as bytes where the guest may read others.
    Task<Result<void>> zero_edge(GuestOffset at, std::uint64_t length, bool may_write);

private:
    Task<Result<void>> write_zero_bytes(GuestOffset at, std::uint64_t length);
    Task<Result<bool>> needs_marking(GuestOffset at, std::uint64_t end, State marker, bool always);
    std::uint64_t end_of_whole_clusters(std::uint64_t end) const noexcept;

    const WriteContext& context_;
    WritePath& writes_;
};

}  // namespace qed
