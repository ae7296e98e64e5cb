// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "cache/mapping_cache.hpp"
#include "formats/qed/entry_decoder.hpp"
#include "formats/qed/header_info.hpp"
#include "qed/mapping.hpp"

namespace qed {

/// The L1 and L2 tables of an open QED image: the cache of the L2 tables, with the decoder that it
/// uses, and the L1 table, which is loaded from the file as far as the disk uses it.
class QedTables {
public:
    /// \errors out_of_memory
    struct Options {
        std::uint32_t slice_bytes = 4096;
        MappingCache::Options cache;
        bool writable = false;
    };
    static Result<std::unique_ptr<QedTables>> create(BlockFile& file, const HeaderInfo& info,
                                                     MemoryBudget& budget, const Options& options);

    MappingCache& cache() noexcept { return *cache_; }
    const MappingCache& cache() const noexcept { return *cache_; }
    const QedEntryDecoder& decoder() const noexcept { return decoder_; }
    FileOffset l1_at() const noexcept { return l1_at_; }

    /// Loads the L1 entries that a disk of `image_bytes` uses and one of `loaded_bytes` does not.
    /// \errors needs_check if an entry is bad and the image is writable; io_error
    Task<Result<void>> load_l1(std::uint64_t loaded_bytes, std::uint64_t image_bytes);
    /// MappingCache::load(); while the image is read-only it extends over holes of the file.
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length);
    /// The reason why the clusters at `at` cannot be used.
    Error explain(GuestOffset at) const;

private:
    QedTables(BlockFile& file, const HeaderInfo& info, bool writable);
    std::uint64_t l1_loaded_for(std::uint64_t image_bytes) const noexcept;
    Task<Result<void>> read_l1(std::uint64_t first, std::span<Entry> entries);
    std::uint64_t hole_after(GuestOffset at, std::uint64_t found, std::uint64_t length) const;

    BlockFile& file_;
    const Geometry geometry_;
    const FileOffset l1_at_;
    const bool writable_;
    QedEntryDecoder decoder_;
    std::unique_ptr<MappingCache> cache_;
};

}  // namespace qed
