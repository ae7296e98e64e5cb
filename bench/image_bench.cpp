// SPDX-License-Identifier: Apache-2.0
// Requests to an image, in process, on the caller's thread: the cost that the engine adds to a
// pread() or a pwrite() of the same bytes. QED_BENCH_DIR is the folder of the files (default: the
// current one).
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "qed/image.hpp"

namespace {

using namespace qed;

constexpr std::uint64_t kDiskBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kStride = 409612288;  // visits every 4 KiB block once, scattered

std::string path_of(const char* name) {
    const char* folder = std::getenv("QED_BENCH_DIR");
    return std::string(folder != nullptr ? folder : ".") + "/" + name;
}

void require(const Result<void>& done) {
    if (!done) throw std::runtime_error(done.error().message());
}

/// An image file that is removed at the end.
class BenchImage {
public:
    BenchImage(const char* name, bool is_full, WriteOrder order = WriteOrder::automatic)
        : path_(path_of(name)) {
        CreateOptions create;
        create.image_bytes = kDiskBytes;
        require(Image::create(path_, create));
        OpenOptions open;
        open.writable = true;
        open.order = order;
        auto image = Image::open(path_, open);
        if (!image) throw std::runtime_error(image.error().message());
        image_ = std::move(*image);
        const std::vector<std::byte> block(1 << 20, std::byte{0x5a});
        for (std::uint64_t at = 0; is_full && at < kDiskBytes; at += block.size()) {
            require(image_->write_blocking(GuestOffset{at}, block));
        }
    }
    BenchImage(const BenchImage&) = delete;
    BenchImage& operator=(const BenchImage&) = delete;
    ~BenchImage() { ::unlink(path_.c_str()); }

    Image& image() { return *image_; }
    /// Closes the image; its file stays.
    void finish() {
        require(image_->close());
        image_.reset();
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
    std::unique_ptr<Image> image_;
};

class Offsets {
public:
    GuestOffset next() {
        at_ = (at_ + kStride) % kDiskBytes;
        return GuestOffset{at_};
    }

private:
    std::uint64_t at_ = 0;
};

void BM_PreadSameBytes(benchmark::State& state) {
    BenchImage disk("image_bench_pread.qed", true);
    const int fd = ::open(disk.path().c_str(), O_RDONLY | O_CLOEXEC);
    std::vector<std::byte> buffer(4096);
    Offsets offsets;
    for (auto _ : state) {
        if (::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offsets.next().value)) <
            0) {
            state.SkipWithError("pread failed");
        }
    }
    ::close(fd);
}
BENCHMARK(BM_PreadSameBytes);

void BM_ReadCached(benchmark::State& state) {
    BenchImage disk("image_bench_read.qed", true);
    std::vector<std::byte> buffer(4096);
    Offsets offsets;
    for (auto _ : state)
        require(disk.image().read_blocking(offsets.next(), buffer));
}
BENCHMARK(BM_ReadCached);

void BM_ReadCachedAsTask(benchmark::State& state) {
    BenchImage disk("image_bench_task.qed", true);
    std::vector<std::byte> buffer(4096);
    Offsets offsets;
    for (auto _ : state)
        require(sync_wait(disk.image().read(offsets.next(), buffer)));
}
BENCHMARK(BM_ReadCachedAsTask);

void BM_ReadUnallocated(benchmark::State& state) {
    BenchImage disk("image_bench_empty.qed", false);
    std::vector<std::byte> buffer(4096);
    Offsets offsets;
    for (auto _ : state)
        require(disk.image().read_blocking(offsets.next(), buffer));
}
BENCHMARK(BM_ReadUnallocated);

void BM_OpenAndFirstRead(benchmark::State& state) {
    BenchImage disk("image_bench_open.qed", true);
    disk.finish();
    std::vector<std::byte> buffer(4096);
    Offsets offsets;
    for (auto _ : state) {
        const auto image = Image::open(disk.path(), OpenOptions{});
        if (!image) throw std::runtime_error(image.error().message());
        require((*image)->read_blocking(offsets.next(), buffer));
    }
}
BENCHMARK(BM_OpenAndFirstRead);

void BM_WriteInPlace(benchmark::State& state) {
    BenchImage disk("image_bench_write.qed", true);
    const std::vector<std::byte> buffer(4096, std::byte{1});
    Offsets offsets;
    for (auto _ : state)
        require(disk.image().write_blocking(offsets.next(), buffer));
}
BENCHMARK(BM_WriteInPlace);

void BM_FirstWrites(benchmark::State& state) {
    const auto order = static_cast<WriteOrder>(state.range(0));
    const std::vector<std::byte> buffer(65536, std::byte{1});
    constexpr std::uint64_t kWrites = kDiskBytes / 65536;
    for (auto _ : state) {
        state.PauseTiming();
        BenchImage disk("image_bench_first.qed", false, order);
        state.ResumeTiming();
        for (std::uint64_t i = 0; i < kWrites; ++i) {
            require(disk.image().write_blocking(GuestOffset{i * 65536}, buffer));
        }
        require(disk.image().flush_blocking());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kWrites));
}
BENCHMARK(BM_FirstWrites)
    ->ArgName("order")
    ->Arg(static_cast<int>(WriteOrder::ordered))
    ->Arg(static_cast<int>(WriteOrder::deferred))
    ->Unit(benchmark::kMillisecond);

}  // namespace
