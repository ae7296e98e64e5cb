// SPDX-License-Identifier: Apache-2.0
#include "generators.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "random.hpp"

namespace qed::cache_sim {
namespace {

// Popularity of a database: a million blocks. The hot set of the mixes: 20,000.
constexpr std::size_t kZipfBlocks = 1'000'000;
constexpr std::size_t kHotBlocks = 20'000;
constexpr double kZipfExponent = 0.99;

// Collects lookups of single clusters until the trace has the requested length.
class Builder {
public:
    Builder(std::string_view name, const GeneratorOptions& options)
        : clusters_(options.image_bytes / options.cluster_bytes),
          clusters_per_table_(std::min(options.table_bytes / 8, clusters_)),
          tables_(clusters_ / clusters_per_table_),
          options_(options),
          random_(options.seed),
          trace_{std::string(name), {}} {
        trace_.requests.reserve(options.lookups);
    }

    bool full() const { return lookups() >= options_.lookups; }
    std::uint64_t lookups() const { return trace_.requests.size(); }
    std::uint64_t clusters() const { return clusters_; }
    std::uint64_t clusters_per_table() const { return clusters_per_table_; }
    std::uint64_t tables() const { return tables_; }
    std::uint64_t seed() const { return options_.seed; }
    Random& random() { return random_; }

    void look_up(std::uint64_t cluster) {
        if (full()) return;
        const std::uint64_t offset = cluster % clusters_ * options_.cluster_bytes;
        trace_.requests.push_back({offset, options_.cluster_bytes});
    }
    void look_up_hot(std::uint64_t rank) { look_up(scatter(rank, clusters_)); }

    Trace take() { return std::move(trace_); }

private:
    std::uint64_t clusters_;
    std::uint64_t clusters_per_table_;
    std::uint64_t tables_;
    GeneratorOptions options_;
    Random random_;
    Trace trace_;
};

Trace uniform(const GeneratorOptions& options) {
    Builder build("uniform", options);
    while (!build.full())
        build.look_up(build.random().below(build.clusters()));
    return build.take();
}

Trace zipf(const GeneratorOptions& options) {
    Builder build("zipf", options);
    const Zipf popularity(kZipfBlocks, kZipfExponent);
    while (!build.full())
        build.look_up_hot(popularity(build.random()));
    return build.take();
}

Trace zipf_files(const GeneratorOptions& options) {
    constexpr std::uint64_t kFileClusters = 160;
    constexpr std::uint64_t kLongestRun = 16;
    Builder build("zipf-files", options);
    const Zipf popularity(100'000, kZipfExponent);
    while (!build.full()) {
        const std::uint64_t file = scatter(popularity(build.random()), build.clusters());
        const std::uint64_t start = file / kFileClusters * kFileClusters;
        const std::uint64_t from = build.random().below(kFileClusters);
        const std::uint64_t run = 1 + build.random().below(kLongestRun);
        for (std::uint64_t i = 0; i < run; ++i)
            build.look_up(start + (from + i) % kFileClusters);
    }
    return build.take();
}

Trace drifting_loop(std::string_view name, std::uint64_t drift, const GeneratorOptions& options) {
    Builder build(name, options);
    const std::uint64_t tables = std::min<std::uint64_t>(build.tables(), 512);
    for (std::uint64_t round = 0; !build.full(); ++round) {
        const std::uint64_t within = round * drift % build.clusters_per_table();
        for (std::uint64_t table = 0; table < tables; ++table) {
            build.look_up(table * build.clusters_per_table() + within);
        }
    }
    return build.take();
}

Trace drift(const GeneratorOptions& options) {
    return drifting_loop("drift", 1, options);
}
Trace drift_fast(const GeneratorOptions& options) {
    return drifting_loop("drift-fast", 7, options);
}

Trace scan_mix(const GeneratorOptions& options) {
    Builder build("scan-mix", options);
    const Zipf popularity(kHotBlocks, kZipfExponent);
    for (std::uint64_t position = 0; !build.full(); ++position) {
        build.look_up_hot(popularity(build.random()));
        build.look_up(position);
    }
    return build.take();
}

Trace streams(const GeneratorOptions& options) {
    constexpr std::uint64_t kStreams = 128;
    Builder build("streams", options);
    const Zipf popularity(kHotBlocks, kZipfExponent);
    const std::uint64_t apart = std::max<std::uint64_t>(1, build.clusters() / kStreams);
    for (std::uint64_t turn = 0; !build.full(); ++turn) {
        build.look_up_hot(popularity(build.random()));
        build.look_up(turn % kStreams * apart + turn / kStreams % apart);
    }
    return build.take();
}

Trace hot_noise(const GeneratorOptions& options) {
    Builder build("hot-noise", options);
    const Zipf popularity(kHotBlocks, kZipfExponent);
    while (!build.full()) {
        build.look_up_hot(popularity(build.random()));
        build.look_up(build.random().below(build.clusters()));
    }
    return build.take();
}

// The start of one installed system: short sequential reads of files, a third of them repeated.
std::vector<std::uint64_t> boot_of(std::uint64_t install, std::uint64_t clusters,
                                   std::uint64_t lookups) {
    Random random(install);
    std::vector<std::uint64_t> files;
    std::vector<std::uint64_t> reads;
    while (reads.size() < lookups) {
        const bool again = !files.empty() && random.below(3) == 0;
        const std::uint64_t recent = std::min<std::uint64_t>(files.size(), 200);
        const std::uint64_t file =
            again ? files[files.size() - 1 - random.below(recent)] : random.below(clusters);
        files.push_back(file);
        const std::uint64_t run = 1 + random.below(12);
        for (std::uint64_t i = 0; i < run; ++i)
            reads.push_back((file + i) % clusters);
    }
    return reads;
}

Trace boot(const GeneratorOptions& options) {
    constexpr std::uint64_t kGuests = 32;
    constexpr std::uint64_t kInstalls = 4;
    Builder build("boot", options);
    const std::uint64_t clusters = std::max<std::uint64_t>(1, build.clusters() / kGuests);
    const std::uint64_t each = options.lookups / kGuests + 1;
    std::vector<std::vector<std::uint64_t>> guests;
    for (std::uint64_t guest = 0; guest < kGuests; ++guest) {
        guests.push_back(boot_of(build.seed() * kInstalls + guest % kInstalls, clusters, each));
    }
    std::vector<std::size_t> next(kGuests);
    while (!build.full()) {
        const std::uint64_t guest = build.random().below(kGuests);
        const std::size_t burst = 1 + build.random().below(8);
        for (std::size_t i = 0; i < burst && next[guest] < guests[guest].size(); ++i) {
            build.look_up(guest * clusters + guests[guest][next[guest]++]);
        }
    }
    return build.take();
}

Trace phases(const GeneratorOptions& options) {
    constexpr std::uint64_t kPhases = 8;
    Builder build("phases", options);
    const Zipf popularity(kZipfBlocks / 5, 0.9);
    const std::uint64_t each = options.lookups / kPhases + 1;
    while (!build.full()) {
        const std::uint64_t phase = build.lookups() / each;
        build.look_up_hot(phase * kZipfBlocks + popularity(build.random()));
    }
    return build.take();
}

// 512 clusters are one 4 KiB slice.
constexpr std::uint64_t kSliceClusters = 512;

Trace sliding(const GeneratorOptions& options) {
    constexpr std::uint64_t kWindowSlices = 3500;
    constexpr std::uint64_t kSlideEvery = 2000;
    constexpr std::uint64_t kSlideSlices = 600;
    Builder build("sliding", options);
    while (!build.full()) {
        const std::uint64_t start = build.lookups() / kSlideEvery * kSlideSlices;
        build.look_up((start + build.random().below(kWindowSlices)) * kSliceClusters);
    }
    return build.take();
}

Trace loop(const GeneratorOptions& options) {
    constexpr std::uint64_t kLoopSlices = 4000;
    Builder build("loop", options);
    for (std::uint64_t i = 0; !build.full(); ++i)
        build.look_up(i % kLoopSlices * kSliceClusters);
    return build.take();
}

constexpr std::array kGenerators{
    Generator{"uniform", "every cluster of the image alike", uniform},
    Generator{"zipf", "zipf 0.99 over a million scattered clusters", zipf},
    Generator{"zipf-files", "zipf 0.99 over 100,000 files of 160 clusters, read in runs of 1 to 16",
              zipf_files},
    Generator{"drift", "round and round over 512 tables, one cluster further in each round", drift},
    Generator{"drift-fast", "the same, seven clusters further in each round", drift_fast},
    Generator{"scan-mix", "zipf 0.99 over 20,000 clusters, every second lookup of one long scan",
              scan_mix},
    Generator{"streams", "the same, every second lookup of one of 128 sequential streams", streams},
    Generator{"hot-noise", "the same, every second lookup anywhere", hot_noise},
    Generator{"boot", "32 guests of 4 installs start: short runs, a third of them read before",
              boot},
    Generator{"phases", "zipf 0.9 over 200,000 clusters, others in each of 8 phases", phases},
    Generator{"sliding", "any of 3,500 slices of 512 clusters, 600 further every 2,000 lookups",
              sliding},
    Generator{"loop", "4,000 slices of 512 clusters in turn, over and over", loop},
};

}  // namespace

std::span<const Generator> all_generators() {
    return kGenerators;
}

const Generator* find_generator(std::string_view name) {
    const auto found = std::ranges::find(kGenerators, name, &Generator::name);
    return found == kGenerators.end() ? nullptr : &*found;
}

}  // namespace qed::cache_sim
