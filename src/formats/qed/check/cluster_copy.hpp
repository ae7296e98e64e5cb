// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/aligned_buffer.hpp"
#include "formats/qed/check/cluster_set.hpp"
#include "formats/qed/check/entry_scan.hpp"
#include "qed/block_file.hpp"
#include "qed/geometry.hpp"
#include "qed/task.hpp"

namespace qed {

/// Copies ranges inside one file. Holes stay holes if the storage can punch.
class ClusterCopy {
public:
    /// \errors out_of_memory
    static Result<ClusterCopy> create(BlockFile& file);

    /// Copies `bytes` from `from` to `to`; the ranges do not overlap. Does not flush. Returns false
    /// if the source could not be read; the target's content is then unspecified.
    Task<Result<bool>> copy(FileOffset from, FileOffset to, std::uint64_t bytes);

private:
    ClusterCopy(BlockFile& file, AlignedBuffer buffer) : file_(&file), buffer_(std::move(buffer)) {}
    Task<Result<void>> make_room(std::uint64_t end);
    Task<Result<void>> clear(FileOffset at, std::uint64_t bytes);
    Task<Result<bool>> copy_data(FileOffset from, FileOffset to, std::uint64_t bytes);

    BlockFile* file_;
    AlignedBuffer buffer_;
};

/// Allocates clusters after the end of the file for the copies that a repair makes.
class CopySpace {
public:
    /// \param file_bytes  the end of the file before the repair
    /// \param beyond  clusters after that end which bad entries name; never allocated. A reference
    /// \errors unsupported, out_of_memory
    static Result<CopySpace> create(std::uint64_t file_bytes, const Geometry& geometry,
                                    const ClusterSet& beyond);

    /// `clusters` consecutive clusters; nothing if the repair would make the file too long.
    std::optional<FileOffset> take(std::uint64_t clusters);
    /// Whether `entry` names a cluster that take() has allocated.
    bool has_taken(std::uint64_t entry) const {
        const std::uint64_t cluster = entry >> cluster_bits_;
        return cluster << cluster_bits_ == entry && cluster < taken_.bound() &&
               taken_.contains(cluster);
    }

private:
    CopySpace(std::uint64_t next, unsigned cluster_bits, const ClusterSet& beyond, ClusterSet taken)
        : next_(next), cluster_bits_(cluster_bits), beyond_(&beyond), taken_(std::move(taken)) {}

    std::uint64_t next_;
    unsigned cluster_bits_;
    const ClusterSet* beyond_;
    ClusterSet taken_;
};

}  // namespace qed
