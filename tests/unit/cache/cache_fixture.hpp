// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/endian.hpp"
#include "cache/table_cache.hpp"
#include "support/geometries.hpp"
#include "support/held_file.hpp"
#include "support/memory_file.hpp"
#include "support/step_executor.hpp"

namespace qed::test {

/// Entries that are neither a marker nor a multiple of 4 KiB are bad.
class PlainJudge final : public EntryDecoder {
public:
    void decode(std::uint64_t, std::uint64_t, std::span<const std::byte> raw,
                std::span<Entry> entries) const noexcept override {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const Entry entry = load_le64(raw, i);
            entries[i] = entry <= kZeroEntry || entry % 4096 == 0 ? entry : kBadEntry;
        }
    }
};

/// An image file with L2 tables, as far as the cache can see it. Table `i` of the L1 table lies at
/// table(i); the test says when reads end.
class TableImage {
public:
    static constexpr std::uint64_t kFirstTable = std::uint64_t{1} << 20;

    explicit TableImage(SharedBudget& budget, std::uint64_t tables = 4,
                        const TableCacheOptions& options = {}, Geometry with = geometry(65536, 4))
        : shape(with),
          memory(kFirstTable + tables * with.table_bytes()),
          file(memory),
          cache(*TableCache::create(file, budget, with, decoder_, options)) {
        for (std::uint64_t i = 0; i < tables; ++i)
            cache->set_l1(i, table(i));
    }

    std::uint64_t table(std::uint64_t index) const {
        return kFirstTable + index * shape.table_bytes();
    }
    std::uint64_t entries_in_slice() const { return cache->shape().entries(); }
    /// Guest offset of an entry, counted over the whole image.
    GuestOffset guest(std::uint64_t cluster) const { return {cluster * shape.cluster_bytes()}; }
    /// First guest offset of a slice, counted over the whole image.
    GuestOffset slice_start(std::uint64_t slice) const { return guest(slice * entries_in_slice()); }
    /// Writes the entry in the file, past the cache.
    void put(std::uint64_t cluster, Entry entry) {
        memory.store_u64(kFirstTable + cluster * 8, entry);
    }
    /// Fills a slice in the file with scattered clusters, so that it needs memory in the cache.
    void put_scattered(std::uint64_t slice, std::uint64_t salt = 0) {
        for (std::uint64_t i = 0; i < entries_in_slice(); ++i)
            put(slice * entries_in_slice() + i, scattered(slice, i, salt));
    }
    Entry scattered(std::uint64_t slice, std::uint64_t i, std::uint64_t salt = 0) const {
        const std::uint64_t mixed = (slice * 8191 + i + salt * 131) * 0x9e3779b97f4a7c15U;
        return ((mixed >> 40) + 1) * shape.cluster_bytes();
    }

    Mapping find(std::uint64_t cluster, std::uint64_t clusters = 1) {
        return cache->find(guest(cluster), clusters * shape.cluster_bytes());
    }
    Running<Result<Mapping>> start_load(std::uint64_t cluster, std::uint64_t clusters = 1) {
        return {executor, cache->load(guest(cluster), clusters * shape.cluster_bytes())};
    }
    Running<Result<SliceRef>> start_pin(std::uint64_t slice) {
        return {executor, cache->pin(slice)};
    }
    /// Loads with reads that end at once.
    Result<Mapping> load(std::uint64_t cluster) {
        const bool before = std::exchange(file.holds, false);
        Running<Result<Mapping>> running = start_load(cluster);
        executor.run();
        file.holds = before;
        return std::move(running.result());
    }
    SliceRef pin(std::uint64_t slice) {
        const bool before = std::exchange(file.holds, false);
        Running<Result<SliceRef>> running = start_pin(slice);
        executor.run();
        file.holds = before;
        return std::move(*running.result());
    }
    void end_read(int error = 0) {
        file.end_read(error);
        executor.run();
    }

    Geometry shape;
    MemoryFile memory;
    HeldFile file;
    StepExecutor executor;

private:
    PlainJudge decoder_;

public:
    std::unique_ptr<TableCache> cache;
};

}  // namespace qed::test
