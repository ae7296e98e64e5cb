// SPDX-License-Identifier: Apache-2.0
// The cost of a hit of the table cache, compared with other designs; the costs of its forms; the
// memory for a TiB of image. docs/cache.md has the figures. Times are CPU time of the thread, in ns
// per lookup.

#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "cache/mapping_cache.hpp"
#include "formats/qed/qed_table_shape.hpp"
#include "support/hit_designs.hpp"
#include "support/made_tables.hpp"

namespace qed::bench {
namespace {

constexpr std::uint64_t kTableSpan = std::uint64_t{1} << 31;  // default geometry
constexpr std::uint64_t kTables = 50;
constexpr std::uint64_t kSlices = kTables * 64;
constexpr std::uint64_t kHotSlices = 8;
constexpr std::uint64_t kSliceSpan = kTableSpan / 64;

Geometry default_geometry() {
    return *Geometry::make(kDefaultClusterBytes, kDefaultTableClusters);
}

/// A cache with the first `slices` slices of a generated image in memory.
class LoadedCache {
public:
    LoadedCache(Layout layout, std::uint64_t slices, std::uint64_t first_cluster = 4096)
        : tables_(default_geometry(), layout, first_cluster),
          budget_(std::uint64_t{1} << 30),
          cache_(*MappingCache::create(tables_, budget_, table_shape(default_geometry(), 4096),
                                     decoder_, {})) {
        for (std::uint64_t i = 0; i < slices; ++i) {
            if (cache_->slice_in_table(i) == 0) {
                const std::uint64_t table = cache_->l1_index_of(i);
                cache_->set_l1(table, tables_.table(table));
            }
            static_cast<void>(sync_wait(cache_->load({i * kSliceSpan}, 1)));
        }
    }
    std::uint64_t translate(GuestOffset at) noexcept { return cache_->find(at, 4096).offset.value; }
    CacheStats stats() const { return budget_.stats(); }
    const MadeTables& tables() const { return tables_; }

private:
    MadeTables tables_;
    TrustingDecoder decoder_;
    MemoryBudget budget_;
    std::unique_ptr<MappingCache> cache_;
};

/// Offsets in random slices; if a generated image is given, only allocated ones.
std::vector<GuestOffset> random_offsets(std::size_t count, std::uint64_t slices, int thread,
                                        const MadeTables* tables = nullptr) {
    std::vector<GuestOffset> offsets;
    for (std::uint64_t i = 0; offsets.size() < count; ++i) {
        const std::uint64_t hash = mix(i * 64 + static_cast<std::uint64_t>(thread) + 1);
        const std::uint64_t slice = mix(hash) % slices;
        const std::uint64_t at = slice * kSliceSpan + (hash & (kSliceSpan - 4096));
        if (tables == nullptr || tables->entry(at / kDefaultClusterBytes) != kUnallocatedEntry) {
            offsets.push_back({at});
        }
    }
    return offsets;
}

template <class Design>
void run_lookups(benchmark::State& state, Design& design, const std::vector<GuestOffset>& offsets) {
    std::size_t i = 0;
    for (auto _ : state) {
        std::uint64_t found = design.translate(offsets[i]);
        benchmark::DoNotOptimize(found);
        i = (i + 1) & (offsets.size() - 1);
    }
}

template <class Design>
void run_hits(benchmark::State& state, Design& design) {
    const auto slices = static_cast<std::uint64_t>(state.range(0));
    run_lookups(state, design, random_offsets(4096, slices, state.thread_index()));
}

// One instance for all threads and repetitions, because its construction takes longer than the
// measurement.
template <class Design>
Design& made(Layout layout, std::uint64_t count) {
    static const MadeTables tables(default_geometry(), layout);
    static Design design(tables, default_geometry(), count);
    return design;
}
template <Layout kLayout, std::uint64_t kCount>
LoadedCache& loaded() {
    static LoadedCache cache(kLayout, kCount);
    return cache;
}

void hit_directory(benchmark::State& state) {
    run_hits(state, loaded<Layout::scattered, kSlices>());
}
void hit_table_list(benchmark::State& state) {
    run_hits(state, made<TableList>(Layout::scattered, kTables));
}
void hit_pinned_hash(benchmark::State& state) {
    run_hits(state, made<PinnedHash>(Layout::scattered, kSlices));
}
void hit_epoch_hash(benchmark::State& state) {
    run_hits(state, made<EpochHash>(Layout::scattered, kSlices));
}

void hits(benchmark::internal::Benchmark* bench) {
    bench->Arg(kSlices)->Arg(kHotSlices)->ArgName("slices")->Threads(1)->Threads(2);
}
BENCHMARK(hit_directory)->Apply(hits);
BENCHMARK(hit_epoch_hash)->Apply(hits);
BENCHMARK(hit_pinned_hash)->Apply(hits);
BENCHMARK(hit_table_list)->Apply(hits);

// Every slice of 1 TiB, in the form that its entries get; more lookups than a processor's cache has
// lines.
constexpr std::uint64_t kSlicesPerTib = 32768;
constexpr std::size_t kManyOffsets = std::size_t{1} << 18;

template <Layout kLayout, std::uint64_t kFirstCluster = 4096>
void form_of(benchmark::State& state) {
    static LoadedCache cache(kLayout, kSlicesPerTib, kFirstCluster);
    static const auto offsets = random_offsets(kManyOffsets, kSlicesPerTib, 0, &cache.tables());
    run_lookups(state, cache, offsets);
    state.counters["MiB_per_TiB"] = static_cast<double>(cache.stats().bytes) / (1U << 20);
}
void form_raw64(benchmark::State& state) {
    form_of<Layout::scattered, std::uint64_t{1} << 33>(state);
}
void form_raw32(benchmark::State& state) {
    form_of<Layout::scattered>(state);
}
void form_sparse(benchmark::State& state) {
    form_of<Layout::aged>(state);
}
void form_runs(benchmark::State& state) {
    form_of<Layout::extents>(state);
}
void form_run(benchmark::State& state) {
    form_of<Layout::sequential>(state);
}
void form_uniform(benchmark::State& state) {
    form_of<Layout::zeroed>(state);
}
BENCHMARK(form_raw64);
BENCHMARK(form_raw32);
BENCHMARK(form_sparse);
BENCHMARK(form_runs);
BENCHMARK(form_run);
BENCHMARK(form_uniform);

}  // namespace
}  // namespace qed::bench
