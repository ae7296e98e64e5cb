// SPDX-License-Identifier: Apache-2.0
// What a hit of the table cache costs, beside other designs; how its forms compare; what a TiB of
// image takes. docs/cache.md has the figures. Times are CPU time of the thread, in ns per lookup.

#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "cache/table_cache.hpp"
#include "support/hit_designs.hpp"
#include "support/made_tables.hpp"

namespace qed::bench {
namespace {

constexpr std::uint64_t kTableSpan = std::uint64_t{1} << 31;  // default geometry
constexpr std::uint64_t kTables = 50;
constexpr std::uint64_t kSlices = kTables * 64;
constexpr std::uint64_t kHotSlices = 8;
constexpr std::size_t kOffsets = 4096;

Geometry default_geometry() {
    return *Geometry::make(kDefaultClusterBytes, kDefaultTableClusters);
}

/// A cache with the first `slices` slices of a made image in memory.
class LoadedCache {
public:
    LoadedCache(Layout layout, std::uint64_t slices, std::uint64_t first_cluster = 4096)
        : tables_(default_geometry(), layout, first_cluster),
          budget_(std::uint64_t{1} << 30),
          cache_(*TableCache::create(tables_, budget_, default_geometry(), judge_, {})) {
        for (std::uint64_t i = 0; i < slices; ++i) {
            if (cache_->slice_in_table(i) == 0) {
                const std::uint64_t table = cache_->l1_index_of(i);
                cache_->set_l1(table, tables_.table(table));
            }
            static_cast<void>(sync_wait(cache_->load({i * (kTableSpan / 64)}, 1)));
        }
    }
    Lookup translate(GuestOffset at) noexcept { return cache_->find(at, 4096); }
    CacheStats stats() const { return budget_.stats(); }

private:
    MadeTables tables_;
    TrustingJudge judge_;
    SharedBudget budget_;
    std::unique_ptr<TableCache> cache_;
};

std::vector<GuestOffset> random_offsets(std::uint64_t slices, int thread) {
    std::vector<GuestOffset> offsets;
    for (std::uint64_t i = 0; i < kOffsets; ++i) {
        const std::uint64_t hash = mix(i * 64 + static_cast<std::uint64_t>(thread) + 1);
        const std::uint64_t slice = mix(hash) % slices;
        offsets.push_back({slice * (kTableSpan / 64) + (hash & (kTableSpan / 64 - 4096))});
    }
    return offsets;
}

template <class Design>
void run_hits(benchmark::State& state, Design& design, std::uint64_t slices) {
    const std::vector<GuestOffset> offsets = random_offsets(slices, state.thread_index());
    std::size_t i = 0;
    for (auto _ : state) {
        auto found = design.translate(offsets[i]);
        benchmark::DoNotOptimize(found);
        i = (i + 1) % kOffsets;
    }
}

// One instance for all threads and repetitions: making it takes longer than measuring it.
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
    run_hits(state, loaded<Layout::scattered, kSlices>(),
             static_cast<std::uint64_t>(state.range(0)));
}
void hit_table_list(benchmark::State& state) {
    run_hits(state, made<TableList>(Layout::scattered, kTables),
             static_cast<std::uint64_t>(state.range(0)));
}
void hit_pinned_hash(benchmark::State& state) {
    run_hits(state, made<PinnedHash>(Layout::scattered, kSlices),
             static_cast<std::uint64_t>(state.range(0)));
}
void hit_epoch_hash(benchmark::State& state) {
    run_hits(state, made<EpochHash>(Layout::scattered, kSlices),
             static_cast<std::uint64_t>(state.range(0)));
}

void hits(benchmark::internal::Benchmark* bench) {
    bench->Arg(kSlices)->Arg(kHotSlices)->ArgName("slices")->Threads(1)->Threads(2);
}
BENCHMARK(hit_directory)->Apply(hits);
BENCHMARK(hit_epoch_hash)->Apply(hits);
BENCHMARK(hit_pinned_hash)->Apply(hits);
BENCHMARK(hit_table_list)->Apply(hits);

}  // namespace
}  // namespace qed::bench
