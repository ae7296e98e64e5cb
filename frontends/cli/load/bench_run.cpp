// SPDX-License-Identifier: Apache-2.0
#include "cli/load/bench_run.hpp"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/mutex.hpp"
#include "qed/files.hpp"

namespace qed::cli {
namespace {

__extension__ using Wide = unsigned __int128;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kBufferAlignment = 4096;
constexpr std::uint64_t kMaxBlockingThreads = 1024;

std::uint64_t nanoseconds(Clock::duration duration) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

/// Page-aligned memory for one request.
struct FreeMemory {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
};
using Buffer = std::unique_ptr<std::byte, FreeMemory>;

Result<Buffer> make_buffer(const BenchSpec& spec) {
    const std::uint64_t rounded =
        (spec.bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
    Buffer buffer(static_cast<std::byte*>(std::aligned_alloc(kBufferAlignment, rounded)));
    if (!buffer) return std::unexpected(Error::out_of_memory());
    std::fill_n(buffer.get(), rounded, std::byte{spec.pattern});
    return buffer;
}

/// The part of the work of one thread.
struct Share {
    Image& image;
    const BenchSpec& spec;
    BenchOffsets offsets;
    std::uint64_t left;  ///< requests that have not started
    std::uint64_t since_flush = 0;
    LatencyHistogram latency = {};
    std::uint64_t flushes = 0;
};

Result<void> blocking_requests(Share& share) {
    auto buffer = make_buffer(share.spec);
    if (!buffer) return pass(buffer);
    const std::span<std::byte> bytes(buffer->get(), share.spec.bytes);
    Clock::time_point begin = Clock::now();
    while (share.left > 0) {
        --share.left;
        const GuestOffset at{share.offsets.next()};
        QED_CHECK(share.spec.write ? share.image.write_blocking(at, bytes)
                                   : share.image.read_blocking(at, bytes));
        const Clock::time_point end = Clock::now();
        share.latency.add(nanoseconds(end - begin));
        begin = end;
        if (share.spec.flush_interval != 0 && ++share.since_flush == share.spec.flush_interval) {
            share.since_flush = 0;
            ++share.flushes;
            QED_CHECK(share.image.flush_blocking());
            begin = Clock::now();
        }
    }
    return {};
}

/// Sends requests sequentially; `depth` lanes run concurrently on one loop.
Task<Result<void>> lane(Share& share, std::span<std::byte> bytes, std::uint64_t& quota) {
    Clock::time_point begin = Clock::now();
    while (quota > 0) {
        --quota;
        const GuestOffset at{share.offsets.next()};
        if (share.spec.write) {
            QED_CO_CHECK(co_await share.image.write(at, bytes));
        } else {
            QED_CO_CHECK(co_await share.image.read(at, bytes));
        }
        const Clock::time_point end = Clock::now();
        share.latency.add(nanoseconds(end - begin));
        begin = end;
        const bool flushes = share.spec.flush_interval != 0 && !share.spec.drain;
        if (flushes && ++share.since_flush >= share.spec.flush_interval) {
            share.since_flush = 0;
            ++share.flushes;
            QED_CO_CHECK(co_await share.image.flush());
            begin = Clock::now();
        }
    }
    co_return Result<void>{};
}

Result<void> uring_round(UringLoop& loop, Share& share, std::span<const Buffer> buffers,
                         std::uint64_t requests) {
    std::uint64_t quota = requests;
    std::vector<Task<Result<void>>> lanes;
    lanes.reserve(buffers.size());
    for (const Buffer& buffer : buffers) {
        const std::span<std::byte> bytes(buffer.get(), share.spec.bytes);
        lanes.push_back(lane(share, bytes, quota));
        lanes.back().start_on(loop);
    }
    Result<void> first{};
    for (Task<Result<void>>& started : lanes) {
        loop.run_until(started.is_done());
        Result<void> done = started.take_result();
        if (first) first = std::move(done);
    }
    return first;
}

Result<void> uring_requests(Share& share) {
    UringOptions options;
    auto loop = UringLoop::create(options);
    if (!loop) return pass(loop);
    std::vector<Buffer> buffers;
    for (unsigned i = 0; i < share.spec.depth; ++i) {
        auto buffer = make_buffer(share.spec);
        if (!buffer) return pass(buffer);
        buffers.push_back(std::move(*buffer));
    }
    const bool rounds = share.spec.flush_interval != 0 && share.spec.drain;
    while (share.left > 0) {
        const std::uint64_t requests =
            rounds ? std::min(share.left, share.spec.flush_interval) : share.left;
        QED_CHECK(uring_round(**loop, share, buffers, requests));
        share.left -= requests;
        if (rounds && requests == share.spec.flush_interval) {
            ++share.flushes;
            QED_CHECK((*loop)->run(share.image.flush()));
        }
    }
    return {};
}

Result<void> check_spec(const BenchSpec& spec, std::uint64_t disk_bytes) {
    if (spec.bytes <= disk_bytes && spec.offset + spec.bytes <= disk_bytes) return {};
    return fail(Errc::out_of_range,
                fmt::format("a request of {} bytes at {} does not fit a disk of {} bytes",
                            spec.bytes, spec.offset, disk_bytes));
}

}  // namespace

BenchOffsets::BenchOffsets(const BenchSpec& spec, std::uint64_t disk_bytes, std::uint64_t first,
                           std::uint64_t stride)
    : disk_bytes_(disk_bytes),
      last_start_(disk_bytes - spec.bytes),
      stride_bytes_(static_cast<std::uint64_t>(Wide{spec.step} * stride % disk_bytes)),
      at_(static_cast<std::uint64_t>((spec.offset + Wide{spec.step} * first) % disk_bytes)),
      random_(spec.random),
      state_(spec.seed * 0x9e3779b97f4a7c15U + first),
      slots_(disk_bytes / spec.bytes),
      slot_bytes_(spec.bytes) {}

std::uint64_t BenchOffsets::next() noexcept {
    if (random_) {
        // splitmix64
        std::uint64_t mixed = (state_ += 0x9e3779b97f4a7c15U);
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        mixed ^= mixed >> 31U;
        return static_cast<std::uint64_t>((Wide{mixed} * slots_) >> 64U) * slot_bytes_;
    }
    const std::uint64_t at = at_;
    at_ += stride_bytes_;
    if (at_ >= disk_bytes_) at_ -= disk_bytes_;
    return at <= last_start_ ? at : 0;
}

namespace {

/// The measurements of all threads of a run.
class BenchTotals {
public:
    void add(const Share& share, Result<void> done) {
        const ScopedLock lock(mutex_);
        result_.latency.merge(share.latency);
        result_.flushes += share.flushes;
        if (!done && !failure_) failure_.emplace(std::move(done.error()));
    }
    /// Call this after all threads have ended.
    Result<BenchResult> take() {
        const ScopedLock lock(mutex_);
        if (failure_) return std::unexpected(std::move(*failure_));
        return std::move(result_);
    }

private:
    Mutex mutex_;
    BenchResult result_ QED_GUARDED_BY(mutex_);
    std::optional<Error> failure_ QED_GUARDED_BY(mutex_);
};

}  // namespace

/// Whether to use io_uring: if asked to, or for several requests in flight where it is allowed.
bool wants_uring(const BenchSpec& spec) {
    if (spec.engine != BenchEngine::automatic) return spec.engine == BenchEngine::io_uring;
    const UringOptions options;
    return spec.depth > 1 && UringLoop::create(options).has_value();
}

Result<BenchResult> run_bench(Image& image, const BenchSpec& spec) {
    QED_CHECK(check_spec(spec, image.size()));
    const bool uses_uring = wants_uring(spec);
    const std::uint64_t workers =
        uses_uring ? spec.threads
                   : std::min(std::uint64_t{spec.threads} * spec.depth, kMaxBlockingThreads);
    BenchTotals totals;
    const auto work = [&](std::uint64_t number) {
        Share share{image, spec, BenchOffsets(spec, image.size(), number, workers),
                    spec.count / workers + (number < spec.count % workers ? 1 : 0)};
        auto done = uses_uring ? uring_requests(share) : blocking_requests(share);
        totals.add(share, std::move(done));
    };
    const Clock::time_point begin = Clock::now();
    {
        std::vector<std::jthread> helpers;
        for (std::uint64_t i = 1; i < workers; ++i)
            helpers.emplace_back(work, i);
        work(0);
    }
    const std::chrono::duration<double> elapsed = Clock::now() - begin;
    auto result = totals.take();
    if (!result) return result;
    result->engine = uses_uring ? "io_uring" : "blocking calls";
    result->seconds = elapsed.count();
    return result;
}

}  // namespace qed::cli
