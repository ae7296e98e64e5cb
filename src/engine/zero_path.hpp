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
        bool may_write = true;         ///< zero bytes, if a marker cannot express the range
        bool keeps_allocated = false;  ///< writes zero bytes everywhere instead of freeing clusters
        bool marks_always = false;  ///< also clusters that read as zeroes because there is no base
    };

    ZeroPath(const WriteContext& context, WritePath& writes) : context_(context), writes_(writes) {}

    /// Afterwards the guest reads zeroes from `at` to `end`.
    /// \errors unsupported if zero bytes would have to be written and `options` forbid it
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t end, Options options);
    /// Frees the whole clusters between `at` and `end`; the guest reads zeroes there.
    Task<Result<void>> discard(GuestOffset at, std::uint64_t end);

    /// The whole clusters from `at` to `end` get the state `marker`, and the clusters that they
    /// named are freed. If `end` is inside a cluster and is the end of the disk, that cluster is
    /// marked, too: its range lock keeps the disk from growing. Mappings that show the same bytes
    /// already are left unchanged unless `always`.
    /// \returns the end of the marked range
    Task<Result<std::uint64_t>> mark(GuestOffset at, std::uint64_t end, State marker,
                                     bool always = false);
    /// Zeroes in a part of one cluster, or of two: written as bytes if the guest may read others.
    Task<Result<void>> zero_edge(GuestOffset at, std::uint64_t length, bool may_write);

private:
    Task<Result<void>> write_zero_bytes(GuestOffset at, std::uint64_t length);
    struct Part {
        std::uint64_t begin = 0;  // guest offsets; empty if they are equal
        std::uint64_t end = 0;
    };
    Task<Result<Part>> part_to_mark(GuestOffset at, std::uint64_t end, State marker, bool always);
    std::uint64_t end_of_whole_clusters(std::uint64_t end) const noexcept;

    const WriteContext& context_;
    WritePath& writes_;
};

}  // namespace qed
