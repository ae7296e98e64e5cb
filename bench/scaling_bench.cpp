// SPDX-License-Identifier: Apache-2.0
// The cost of a cached 4 KiB read and the memory of an image, with growing numbers of threads and
// open images, size of the disk, fragmentation, and length of the chain. QED_BENCH_DIR is the
// folder of the files (default: the current one). scripts/bench.sh draws the plots.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "qed/image.hpp"

namespace {

using namespace qed;

constexpr std::uint64_t kBlockBytes = 4096;
constexpr std::uint64_t kClusters = 4096;  // with data, in every disk here
constexpr std::int64_t kReads = 50000;     // fixed, so that each measurement makes one disk
constexpr std::uint64_t kSmallDisk = kClusters * kDefaultClusterBytes;

void require(const Result<void>& done) {
    if (!done) throw std::runtime_error(done.error().message());
}

template <class T>
T require(Result<T> value) {
    if (!value) throw std::runtime_error(value.error().message());
    return std::move(*value);
}

std::uint64_t resident_bytes() {
    std::uint64_t pages = 0;
    std::uint64_t resident = 0;
    std::ifstream("/proc/self/statm") >> pages >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// Files that are removed at the end.
class Folder {
public:
    Folder() {
        const char* parent = std::getenv("QED_BENCH_DIR");
        name_ = std::string(parent != nullptr ? parent : ".") + "/scaling-XXXXXX";
        if (::mkdtemp(name_.data()) == nullptr) throw std::runtime_error("no folder " + name_);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        for (const std::string& file : files_)
            ::unlink(file.c_str());
        ::rmdir(name_.c_str());
    }
    std::string add(const std::string& name) {
        files_.push_back(name_ + "/" + name);
        return files_.back();
    }

private:
    std::string name_;
    std::vector<std::string> files_;
};

std::unique_ptr<Image> open_image(const std::string& path, bool writable = false) {
    OpenOptions options;
    options.writable = writable;
    options.ignore_flush = true;
    options.backing.rule = BackingRule::same_directory;
    return require(Image::open(path, options));
}

void create_image(const std::string& path, std::uint64_t bytes, const char* backing = nullptr,
                  BackingFormat format = BackingFormat::unstated) {
    CreateOptions create;
    create.image_bytes = bytes;
    create.backing_name = backing;
    create.backing_format = format;
    require(Image::create(path, create));
}

/// A disk whose clusters `places[i]` are allocated in that order, each with `stored` bytes.
void make_disk(const std::string& path, std::uint64_t bytes,
               const std::vector<std::uint64_t>& places, std::uint64_t stored = kBlockBytes) {
    create_image(path, bytes);
    const auto image = open_image(path, true);
    const std::vector<std::byte> data(stored, std::byte{0x5a});
    for (const std::uint64_t place : places)
        require(image->write_blocking(GuestOffset{place * kDefaultClusterBytes}, data));
    require(image->close());
}

std::vector<std::uint64_t> in_order(std::uint64_t step) {
    std::vector<std::uint64_t> places(kClusters);
    for (std::uint64_t i = 0; i < kClusters; ++i)
        places[i] = i * step;
    return places;
}

/// Clusters in random order, the same on every run.
class Picks {
public:
    explicit Picks(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::uint64_t next(std::uint64_t count) {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return (state_ >> 33U) % count;
    }

private:
    std::uint64_t state_;
};

void read_scattered(benchmark::State& state, Image& image, std::uint64_t step) {
    std::vector<std::byte> block(kBlockBytes);
    Picks picks(static_cast<std::uint64_t>(state.thread_index()));
    for (auto _ : state) {
        const std::uint64_t place = picks.next(kClusters) * step;
        require(image.read_blocking(GuestOffset{place * kDefaultClusterBytes}, block));
    }
}

void note_memory(benchmark::State& state, const Image& image) {
    state.counters["memory"] = static_cast<double>(image.stats().cache.bytes);
}

void threads(benchmark::State& state) {
    static std::unique_ptr<Folder> folder;
    static std::unique_ptr<Image> image;
    if (state.thread_index() == 0) {
        folder = std::make_unique<Folder>();
        const std::string path = folder->add("disk.qed");
        make_disk(path, kSmallDisk, in_order(1));
        image = open_image(path);
    }
    std::vector<std::byte> block(kBlockBytes);
    Picks picks(static_cast<std::uint64_t>(state.thread_index()));
    for (auto _ : state) {
        const std::uint64_t place = picks.next(kClusters);
        require(image->read_blocking(GuestOffset{place * kDefaultClusterBytes}, block));
    }
    if (state.thread_index() == 0) {
        note_memory(state, *image);
        image.reset();
        folder.reset();
    }
}
BENCHMARK(threads)->Threads(1)->Threads(2)->Iterations(kReads)->UseRealTime();

void open_images(benchmark::State& state) {
    Folder folder;
    const auto count = static_cast<std::uint64_t>(state.range(0));
    const std::uint64_t clusters = kClusters / count;
    std::vector<std::string> paths;
    for (std::uint64_t i = 0; i < count; ++i) {
        paths.push_back(folder.add("disk-" + std::to_string(i) + ".qed"));
        std::vector<std::uint64_t> places(clusters);
        std::iota(places.begin(), places.end(), std::uint64_t{0});
        make_disk(paths.back(), kSmallDisk, places);
    }
    const std::uint64_t before = resident_bytes();
    std::vector<std::unique_ptr<Image>> images;
    for (const std::string& path : paths)
        images.push_back(open_image(path));
    std::vector<std::byte> block(kBlockBytes);
    Picks picks(1);
    for (auto _ : state) {
        const std::uint64_t place = picks.next(clusters);
        Image& image = *images[picks.next(count)];
        require(image.read_blocking(GuestOffset{place * kDefaultClusterBytes}, block));
    }
    const std::uint64_t after = resident_bytes();
    state.counters["memory"] = static_cast<double>(after > before ? after - before : 0);
}
BENCHMARK(open_images)->Iterations(kReads)->Arg(1)->Arg(16)->Arg(256);

void disk_gib(benchmark::State& state) {
    Folder folder;
    const std::string path = folder.add("disk.qed");
    const std::uint64_t bytes = static_cast<std::uint64_t>(state.range(0)) << 30U;
    const std::uint64_t step = bytes / kDefaultClusterBytes / kClusters;
    make_disk(path, bytes, in_order(step));
    const auto image = open_image(path);
    read_scattered(state, *image, step);
    note_memory(state, *image);
}
BENCHMARK(disk_gib)->Iterations(kReads)->Arg(1)->Arg(16)->Arg(256)->Arg(4096)->Arg(65536);

/// Clusters of which `percent` lie at random places.
std::vector<std::uint64_t> fragmented(std::uint64_t percent) {
    std::vector<std::uint64_t> places = in_order(1);
    std::mt19937 random(1);
    std::vector<std::uint64_t> moved;
    for (std::uint64_t i = 0; i < kClusters; ++i) {
        if (random() % 100 < percent) moved.push_back(i);
    }
    std::vector<std::uint64_t> shuffled = moved;
    std::ranges::shuffle(shuffled, random);
    for (std::size_t i = 0; i < moved.size(); ++i)
        places[moved[i]] = shuffled[i];
    return places;
}

void fragmentation_percent(benchmark::State& state) {
    Folder folder;
    const std::string path = folder.add("disk.qed");
    make_disk(path, kSmallDisk, fragmented(static_cast<std::uint64_t>(state.range(0))));
    const auto image = open_image(path);
    read_scattered(state, *image, 1);
    note_memory(state, *image);
}
BENCHMARK(fragmentation_percent)->Iterations(kReads)->Arg(0)->Arg(10)->Arg(50)->Arg(100);

void sequential_fragmentation_percent(benchmark::State& state) {
    Folder folder;
    const std::string path = folder.add("disk.qed");
    make_disk(path, kSmallDisk, fragmented(static_cast<std::uint64_t>(state.range(0))),
              kDefaultClusterBytes);
    const auto image = open_image(path);
    std::vector<std::byte> buffer(1U << 20U);
    std::uint64_t at = 0;
    for (auto _ : state) {
        require(image->read_blocking(GuestOffset{at}, buffer));
        at = (at + buffer.size()) % kSmallDisk;
    }
    note_memory(state, *image);
}
BENCHMARK(sequential_fragmentation_percent)
    ->Iterations(kSmallDisk >> 20U)
    ->Arg(0)
    ->Arg(10)
    ->Arg(50)
    ->Arg(100);

void chain_depth(benchmark::State& state) {
    Folder folder;
    std::string below = folder.add("base.raw");
    {
        std::ofstream base(below, std::ios::binary);
        const std::vector<char> data(kBlockBytes, 'b');
        for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
            base.seekp(static_cast<std::streamoff>(cluster * kDefaultClusterBytes));
            base.write(data.data(), static_cast<std::streamsize>(data.size()));
        }
        base.seekp(static_cast<std::streamoff>(kSmallDisk - 1));
        base.put('b');
    }
    for (std::int64_t depth = 1; depth <= state.range(0); ++depth) {
        const std::string path = folder.add("overlay-" + std::to_string(depth) + ".qed");
        const std::string name = below.substr(below.rfind('/') + 1);
        create_image(path, kSmallDisk, name.c_str(),
                     depth == 1 ? BackingFormat::raw : BackingFormat::qed);
        below = path;
    }
    const auto image = open_image(below);
    read_scattered(state, *image, 1);
    note_memory(state, *image);
}
BENCHMARK(chain_depth)->Iterations(kReads)->Arg(1)->Arg(4)->Arg(16);

}  // namespace
