// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.hpp"
#include "cache/mapping_cache.hpp"
#include "formats/qcow2/cluster_pool.hpp"
#include "formats/qcow2/decompressor.hpp"
#include "formats/qcow2/qcow2_entry_decoder.hpp"
#include "formats/qcow2/qcow2_header.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"
#include "qed/units.hpp"

namespace qed {

/// Reads the compressed clusters of an image. The cache knows of such a cluster only that it is
/// one; its entry is read again here.
///
/// Thread-safety: read() on any thread, any number at once.
/// \cost  for each cluster a read of its entry, one of its data, and the decompression, unless it
/// is
///        among the last ones; memory: the pool, and for each request under way at most 5 MiB
class CompressedClusters {
public:
    CompressedClusters(BlockFile& file, const Qcow2Header& header, const MappingCache& tables,
                       const Qcow2EntryDecoder& decoder);

    /// Reads guest bytes that lie in compressed clusters.
    /// \errors corrupt_metadata, io_error (the data of a cluster is damaged), out_of_memory
    Task<Result<void>> read(GuestOffset at, std::span<std::byte> buffer);

private:
    Task<Result<void>> read_part(GuestOffset at, std::span<std::byte> part);
    Task<Result<CompressedPlace>> find_place(GuestOffset at);
    Task<Result<void>> decompress(CompressedPlace place, GuestOffset at,
                                  std::span<std::byte> cluster);
    Result<std::unique_ptr<Decompressor>> take_decompressor();
    void give_back(std::unique_ptr<Decompressor> decompressor) noexcept;

    BlockFile& file_;
    const MappingCache& tables_;
    const Qcow2EntryDecoder& decoder_;
    const Qcow2Compression compression_;
    const std::uint64_t cluster_bytes_;
    const std::uint64_t table_span_;
    const unsigned entry_bytes_;
    ClusterPool pool_;
    Mutex mutex_;
    /// Not in use. Never more than requests were under way at once.
    std::vector<std::unique_ptr<Decompressor>> decompressors_ QED_GUARDED_BY(mutex_);
};

}  // namespace qed
