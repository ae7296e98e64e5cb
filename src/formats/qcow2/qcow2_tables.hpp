// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "cache/mapping_cache.hpp"
#include "formats/qcow2/qcow2_entry_decoder.hpp"
#include "formats/qcow2/qcow2_header.hpp"
#include "qed/block_file.hpp"
#include "qed/open_options.hpp"
#include "qed/task.hpp"

namespace qed {

/// The L1 and L2 tables of an open qcow2 image: the cache of the L2 tables with its decoder, and
/// the L1 table, which is in memory as far as the disk uses it.
class Qcow2Tables {
public:
    /// \errors out_of_memory, io_error
    static Task<Result<std::unique_ptr<Qcow2Tables>>> open(BlockFile& file,
                                                           const Qcow2Header& header,
                                                           OpenOptions options);

    MappingCache& cache() noexcept { return *cache_; }
    const MappingCache& cache() const noexcept { return *cache_; }
    const Qcow2EntryDecoder& decoder() const noexcept { return decoder_; }

private:
    Qcow2Tables(BlockFile& file, const Qcow2Header& header) : decoder_(file, header) {}
    Task<Result<void>> load_l1(BlockFile& file, const Qcow2Header& header);

    Qcow2EntryDecoder decoder_;
    std::unique_ptr<MappingCache> cache_;
};

}  // namespace qed
