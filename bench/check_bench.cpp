// SPDX-License-Identifier: Apache-2.0
// Checks a 2 TiB image in which every cluster is mapped: 33.5 million L2 entries, 256 MiB of tables
// in the page cache, in guest order or scattered over the file. The data clusters are holes.
// QED_BENCH_DIR is the folder of the image (default: the current one). To compare the time with
// `qemu-img check` on the same file, keep the file with QED_BENCH_KEEP.
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/endian.hpp"
#include "qed/check.hpp"
#include "qed/files.hpp"
#include "qed/header.hpp"

namespace {

using namespace qed;

constexpr std::uint32_t kTables = 1024;

enum Layout : int { kInOrder, kScattered };

void write_all(BlockFile& file, std::uint64_t at, std::span<const std::byte> bytes) {
    if (!file.write(FileOffset{at}, bytes).run_blocking()) {
        throw std::runtime_error("cannot write the image");
    }
}

/// An image under test, made once, and removed at exit.
class MadeImage {
public:
    explicit MadeImage(Layout layout) {
        const char* folder = std::getenv("QED_BENCH_DIR");
        path_ = std::string(folder != nullptr ? folder : ".") +
                (layout == kInOrder ? "/check-in-order.qed" : "/check-scattered.qed");
        FileOptions options;
        options.writable = true;
        options.create = true;
        options.truncate = true;
        auto opened = open_file(path_, options);
        if (!opened) throw std::runtime_error(opened.error().message());
        file_ = std::move(*opened);
        const Geometry geometry =
            Geometry::make(kDefaultClusterBytes, kDefaultTableClusters).value();
        Header header;
        header.l1_table_offset = {geometry.cluster_bytes()};
        header.image_bytes = kTables * geometry.table_span_bytes();
        write_all(*file_, 0, encode_header(header));
        write_tables(geometry, header.l1_table_offset.value, layout);
    }
    MadeImage(const MadeImage&) = delete;
    MadeImage& operator=(const MadeImage&) = delete;
    ~MadeImage() {
        if (std::getenv("QED_BENCH_KEEP") == nullptr) ::unlink(path_.c_str());
    }
    BlockFile& file() { return *file_; }

private:
    void write_tables(const Geometry& geometry, std::uint64_t l1, Layout layout) {
        const std::uint64_t entries = geometry.table_entries();
        const std::uint64_t first_table = l1 + geometry.table_bytes();
        const std::uint64_t first_data = first_table + kTables * geometry.table_bytes();
        std::vector<std::uint32_t> places(kTables * entries);
        std::iota(places.begin(), places.end(), 0U);
        if (layout == kScattered) {
            std::mt19937 random(1);
            std::ranges::shuffle(places, random);
        }
        std::vector<std::byte> raw(geometry.table_bytes());
        for (std::uint64_t table = 0; table < kTables; ++table) {
            for (std::uint64_t i = 0; i < entries; ++i) {
                const std::uint64_t place = places[table * entries + i];
                store_le64(raw, i, first_data + place * geometry.cluster_bytes());
            }
            write_all(*file_, first_table + table * geometry.table_bytes(), raw);
        }
        for (std::uint64_t table = 0; table < entries; ++table) {
            const std::uint64_t at = first_table + table * geometry.table_bytes();
            store_le64(raw, table, table < kTables ? at : 0);
        }
        write_all(*file_, l1, raw);
        const std::uint64_t end = first_data + kTables * entries * geometry.cluster_bytes();
        if (!file_->truncate(end).run_blocking())
            throw std::runtime_error("cannot extend the file");
    }

    std::string path_;
    std::unique_ptr<BlockFile> file_;
};

void check_image(benchmark::State& state, Layout layout) {
    static std::map<Layout, MadeImage> images;
    MadeImage& image = images.try_emplace(layout, layout).first->second;
    CheckOptions options;
    options.threads = static_cast<unsigned>(state.range(0));
    std::uint64_t clusters = 0;
    for (auto _ : state) {
        const auto report = sync_wait(check_file(image.file(), options));
        if (!report || report->corruptions + report->leaks + report->check_errors != 0) {
            state.SkipWithError("the image was not found sound");
            return;
        }
        clusters = report->allocated_clusters;
    }
    const std::int64_t table_bytes = std::int64_t{kTables} << 18;
    state.SetBytesProcessed(state.iterations() * table_bytes);
    state.counters["clusters/s"] =
        benchmark::Counter(static_cast<double>(clusters) * static_cast<double>(state.iterations()),
                           benchmark::Counter::kIsRate);
}

BENCHMARK_CAPTURE(check_image, in_order, kInOrder)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(check_image, scattered, kScattered)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

}  // namespace
