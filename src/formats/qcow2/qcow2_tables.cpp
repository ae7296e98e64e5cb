// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_tables.hpp"

#include <algorithm>
#include <bit>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "cache/memory_budget.hpp"
#include "cache/table_shape.hpp"
#include "formats/qcow2/big_endian.hpp"
#include "qed/cache_budget.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kReadBytes = 1U << 20;
constexpr unsigned kSubclusterBits = 5;

MemoryBudget& budget_of(const OpenOptions& options) {
    return static_cast<MemoryBudget&>(options.budget != nullptr ? *options.budget
                                                                : *CacheBudget::process());
}

// With extended entries the cache maps subclusters: a unit of 16 bytes gives 32 entries.
TableShape shape_of(const Qcow2Header& header, std::uint32_t slice_bytes) {
    TableShape shape{.entry_span_bits = header.cluster_bits,
                     .entries_per_table = header.l2_entries(),
                     .slice_entries = std::bit_ceil(std::clamp(slice_bytes, 512U, 65536U)) / 8,
                     .max_guest_bytes = std::max(round_up(header.image_bytes, header.table_span()),
                                                 header.table_span())};
    if (header.has(Qcow2Incompatible::extended_l2)) {
        shape.entry_span_bits -= kSubclusterBits;
        shape.entries_per_table <<= kSubclusterBits;
        shape.unit_entries = 1U << kSubclusterBits;
        shape.unit_bytes = header.l2_entry_bytes();
    }
    return shape;
}

}  // namespace

Task<Result<std::unique_ptr<Qcow2Tables>>> Qcow2Tables::open(BlockFile& file,
                                                             const Qcow2Header& header,
                                                             OpenOptions options) {
    std::unique_ptr<Qcow2Tables> tables(new Qcow2Tables(file, header));
    const MappingCache::Options cache_options{.readahead_slices = options.readahead_slices,
                                              .limit_bytes = options.cache_limit};
    Result<std::unique_ptr<MappingCache>> cache =
        MappingCache::create(file, budget_of(options), shape_of(header, options.slice_bytes),
                             tables->decoder_, cache_options);
    if (!cache) co_return pass(cache);
    tables->cache_ = std::move(*cache);
    QED_CO_CHECK(co_await tables->load_l1(file, header));
    co_return std::move(tables);
}

Task<Result<void>> Qcow2Tables::load_l1(BlockFile& file, const Qcow2Header& header) {
    const std::uint64_t end = header.l1_entries_used();
    if (end == 0) co_return {};
    Result<AlignedBuffer> raw = AlignedBuffer::create(std::min(end * 8, kReadBytes), 4096);
    if (!raw) co_return pass(raw);
    for (std::uint64_t first = 0; first < end;) {
        const auto part =
            raw->span().first(std::min<std::uint64_t>((end - first) * 8, raw->size()));
        QED_CO_CHECK(co_await file.read(FileOffset{header.l1_offset + first * 8}, part));
        for (std::size_t i = 0; i < part.size() / 8; ++i, ++first) {
            const Entry table = decoder_.decode_l1(load_be<std::uint64_t>(part, i * 8));
            // Zeroes are there already, and writing them would take memory.
            if (table != kUnallocatedEntry) cache_->set_l1(first, table);
        }
    }
    co_return {};
}

}  // namespace qed
