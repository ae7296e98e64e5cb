// SPDX-License-Identifier: Apache-2.0
// The ways to access one file: on the caller's thread, with RWF_NOWAIT first, and through io_uring;
// with and without the page cache. QED_BENCH_DIR is the folder of the file (default: the current
// one). CPU time is that of the whole process and of the kernel's workers for it.
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/aligned_buffer.hpp"
#include "coro/when_all.hpp"
#include "io/direct/direct_file.hpp"
#include "io/posix/descriptor_access.hpp"
#include "io/posix/posix_file.hpp"
#include "qed/files.hpp"

namespace {

using namespace qed;

constexpr std::uint64_t kFileBytes = std::uint64_t{256} << 20;
constexpr int kBatch = 2048;  // requests per run of the loop

/// A file under test, made once, and removed at exit.
class BenchFile {
public:
    explicit BenchFile(const char* name) {
        const char* folder = std::getenv("QED_BENCH_DIR");
        path_ = std::string(folder != nullptr ? folder : ".") + name;
        FileOptions options;
        options.writable = true;
        options.create = true;
        auto file = open_file(path_, options);
        if (!file) throw std::runtime_error(file.error().message());
        const std::vector<std::byte> block(1 << 20, std::byte{0x5a});
        for (std::uint64_t at = 0; at < kFileBytes; at += block.size()) {
            if (!(*file)->write(FileOffset{at}, block).run_blocking()) {
                throw std::runtime_error("cannot write " + path_);
            }
        }
        if (!(*file)->flush().run_blocking()) throw std::runtime_error("cannot flush " + path_);
    }
    BenchFile(const BenchFile&) = delete;
    BenchFile& operator=(const BenchFile&) = delete;
    ~BenchFile() { ::unlink(path_.c_str()); }

    std::unique_ptr<BlockFile> open(bool direct) const {
        FileOptions options;
        options.writable = true;
        options.direct = direct;
        auto file = open_file(path_, options);
        if (!file) throw std::runtime_error(file.error().message());
        return std::move(*file);
    }
    /// Buffered, but with writes through the ring.
    std::unique_ptr<BlockFile> open_with_ring_writes() const {
        FileTraits traits;
        traits.writable = true;
        traits.reads_nowait = true;
        return std::make_unique<PosixFile>(::open(path_.c_str(), O_RDWR | O_CLOEXEC), path_,
                                           traits);
    }

private:
    std::string path_;
};

/// One file for each kind, because a direct write evicts pages of its file from the page cache.
const BenchFile& bench_file(bool direct) {
    static const BenchFile cached("/qed-io-bench-cached.tmp");
    static const BenchFile uncached("/qed-io-bench-direct.tmp");
    return direct ? uncached : cached;
}

std::unique_ptr<BlockFile> open_bench_file(bool direct) {
    return bench_file(direct).open(direct);
}

struct Load {
    BlockFile& file;
    IoKind kind;
    std::size_t bytes;
    std::vector<AlignedBuffer> buffers;  // one for each lane
    std::minstd_rand random{1};

    Load(BlockFile& target, IoKind what, std::size_t size, std::size_t depth)
        : file(target), kind(what), bytes(size) {
        for (std::size_t i = 0; i < depth; ++i) {
            buffers.push_back(std::move(*AlignedBuffer::create(size, 4096)));
        }
    }
    IoOp next(std::size_t lane) {
        const FileOffset at{random() % (kFileBytes / bytes) * bytes};
        return kind == IoKind::read ? file.read(at, buffers[lane].span())
                                    : file.write(at, buffers[lane].span());
    }
};

Task<Result<void>> run_lane(Load& load, std::size_t lane, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        IoOp op = load.next(lane);
        QED_CO_CHECK(co_await op);
    }
    co_return Result<void>{};
}

Task<Result<void>> run_load(Load& load) {
    const std::size_t depth = load.buffers.size();
    std::size_t lane = 0;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (lane == depth) return std::nullopt;
        const std::size_t mine = lane++;
        return run_lane(load, mine, kBatch / depth);
    };
    Result<void> done = co_await when_all(depth, next);
    co_return done;
}

void count(benchmark::State& state, std::size_t bytes) {
    state.SetItemsProcessed(state.iterations() * kBatch);
    state.SetBytesProcessed(state.iterations() * kBatch * static_cast<std::int64_t>(bytes));
}

/// The lower bound: the system call alone.
void system_call(benchmark::State& state, IoKind kind) {
    const auto file = open_bench_file(false);
    Load load(*file, kind, static_cast<std::size_t>(state.range(0)), 1);
    for (auto _ : state) {
        for (int i = 0; i < kBatch; ++i) {
            const IoOp op = load.next(0);
            const auto at = static_cast<off_t>(op.offset);
            const ssize_t moved = kind == IoKind::read
                                      ? ::pread(DescriptorAccess::of(*file), op.single.iov_base,
                                                op.single.iov_len, at)
                                      : ::pwrite(DescriptorAccess::of(*file), op.single.iov_base,
                                                 op.single.iov_len, at);
            if (moved < 0) state.SkipWithError("failed");
        }
    }
    count(state, load.bytes);
}

void on_caller(benchmark::State& state, IoKind kind, bool direct) {
    const auto file = open_bench_file(direct);
    Load load(*file, kind, static_cast<std::size_t>(state.range(0)), 1);
    for (auto _ : state) {
        for (int i = 0; i < kBatch; ++i) {
            IoOp op = load.next(0);
            if (!op.run_blocking()) state.SkipWithError("failed");
        }
    }
    count(state, load.bytes);
}

void in_loop(benchmark::State& state, BlockFile& file, IoKind kind, bool inline_reads) {
    UringOptions options;
    options.try_inline_reads = inline_reads;
    auto loop = UringLoop::create(options);
    if (!loop) {
        state.SkipWithError(loop.error().message().c_str());
        return;
    }
    Load load(file, kind, static_cast<std::size_t>(state.range(0)),
              static_cast<std::size_t>(state.range(1)));
    for (auto _ : state) {
        if (!(*loop)->run(run_load(load))) state.SkipWithError("failed");
    }
    count(state, load.bytes);
}

void read_nowait_first(benchmark::State& state) {
    const auto file = open_bench_file(false);
    in_loop(state, *file, IoKind::read, true);
}
void read_by_ring(benchmark::State& state) {
    const auto file = open_bench_file(false);
    in_loop(state, *file, IoKind::read, false);
}
void read_direct_by_ring(benchmark::State& state) {
    const auto file = open_bench_file(true);
    in_loop(state, *file, IoKind::read, true);
}
void write_inline_in_loop(benchmark::State& state) {
    const auto file = open_bench_file(false);
    in_loop(state, *file, IoKind::write, true);
}
void write_by_ring(benchmark::State& state) {
    const auto file = bench_file(false).open_with_ring_writes();
    in_loop(state, *file, IoKind::write, true);
}
void write_direct_by_ring(benchmark::State& state) {
    const auto file = open_bench_file(true);
    in_loop(state, *file, IoKind::write, true);
}

void sizes(benchmark::internal::Benchmark* bench) {
    bench->ArgName("bytes")->Arg(4096)->Arg(65536)->Arg(1 << 20);
    bench->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
}
void sizes_and_depths(benchmark::internal::Benchmark* bench) {
    bench->ArgNames({"bytes", "depth"})->ArgsProduct({{4096, 65536, 1 << 20}, {1, 32}});
    bench->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(system_call, read, IoKind::read)->Apply(sizes);
BENCHMARK_CAPTURE(on_caller, read, IoKind::read, false)->Apply(sizes);
BENCHMARK(read_nowait_first)->Apply(sizes_and_depths);
BENCHMARK(read_by_ring)->Apply(sizes_and_depths);
BENCHMARK_CAPTURE(on_caller, read_direct, IoKind::read, true)->Apply(sizes);
BENCHMARK(read_direct_by_ring)->Apply(sizes_and_depths);
BENCHMARK_CAPTURE(system_call, write, IoKind::write)->Apply(sizes);
BENCHMARK_CAPTURE(on_caller, write, IoKind::write, false)->Apply(sizes);
BENCHMARK(write_inline_in_loop)->Apply(sizes_and_depths);
BENCHMARK(write_by_ring)->Apply(sizes_and_depths);
BENCHMARK_CAPTURE(on_caller, write_direct, IoKind::write, true)->Apply(sizes);
BENCHMARK(write_direct_by_ring)->Apply(sizes_and_depths);

}  // namespace
