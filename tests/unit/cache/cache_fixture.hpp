// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/endian.hpp"
#include "cache/mapping_cache.hpp"
#include "support/held_file.hpp"
#include "support/memory_file.hpp"
#include "support/step_executor.hpp"

namespace qed::test {

/// Tables as QED has them: as many clusters for the L1 table as for each L2 table.
class TestTables {
public:
    TestTables(std::uint64_t cluster_bytes, std::uint64_t table_clusters)
        : cluster_bytes_(cluster_bytes), table_bytes_(cluster_bytes * table_clusters) {}

    std::uint64_t cluster_bytes() const { return cluster_bytes_; }
    unsigned cluster_bits() const {
        return static_cast<unsigned>(std::countr_zero(cluster_bytes_));
    }
    std::uint64_t table_bytes() const { return table_bytes_; }
    std::uint64_t table_entries() const { return table_bytes_ / sizeof(Entry); }
    std::uint64_t l1_index(GuestOffset at) const {
        return at.value / cluster_bytes_ / table_entries();
    }
    std::uint64_t max_image_bytes() const {
        constexpr std::uint64_t kMost = (std::uint64_t{1} << 63) - 512;
        const std::uint64_t clusters = table_entries() * table_entries();
        return clusters > kMost / cluster_bytes_ ? kMost : clusters * cluster_bytes_;
    }
    TableShape shape(std::uint32_t slice_bytes) const {
        return {.entry_span_bits = cluster_bits(),
                .entries_per_table = table_entries(),
                .slice_entries = static_cast<std::uint32_t>(slice_bytes / sizeof(Entry)),
                .max_guest_bytes = max_image_bytes()};
    }

private:
    std::uint64_t cluster_bytes_;
    std::uint64_t table_bytes_;
};

/// What a test says of its cache.
struct TableImageOptions {
    std::uint32_t slice_bytes = 4096;
    std::uint32_t readahead_slices = 8;
    std::uint64_t limit_bytes = 0;

    operator MappingCache::Options()
        const {  // NOLINT(google-explicit-constructor): the rest of them
        return {.readahead_slices = readahead_slices, .limit_bytes = limit_bytes};
    }
};

/// Entries that are neither a marker nor a multiple of 4 KiB are bad.
class PlainDecoder final : public EntryDecoder {
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

    explicit TableImage(MemoryBudget& budget, std::uint64_t tables = 4,
                        const TableImageOptions& options = {}, const TestTables& with = {65536, 4})
        : shape(with),
          memory(kFirstTable + tables * with.table_bytes()),
          file(memory),
          cache(*MappingCache::create(file, budget, with.shape(options.slice_bytes), decoder_,
                                      options)) {
        for (std::uint64_t i = 0; i < tables; ++i)
            cache->set_l1(i, table(i));
    }

    std::uint64_t table(std::uint64_t index) const {
        return kFirstTable + index * shape.table_bytes();
    }
    std::uint64_t entries_in_slice() const { return cache->addressing().slice_entries(); }
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

    TestTables shape;
    MemoryFile memory;
    HeldFile file;
    StepExecutor executor;

private:
    PlainDecoder decoder_;

public:
    std::unique_ptr<MappingCache> cache;
};

}  // namespace qed::test
