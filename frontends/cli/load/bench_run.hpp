// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cli/load/latency.hpp"
#include "qed/image.hpp"

namespace qed::cli {

enum class BenchEngine : std::uint8_t {
    automatic,  ///< blocking calls at depth 1, io_uring at higher depths
    threads,    ///< one thread with blocking calls for each request in flight
    io_uring,   ///< coroutines on one io_uring
};

/// The requests of a benchmark, the same as those of `qemu-img bench`.
struct BenchSpec {
    std::uint64_t count = 75000;
    unsigned depth = 64;
    std::uint64_t bytes = 4096;
    std::uint64_t step = 4096;
    std::uint64_t offset = 0;
    std::uint64_t flush_interval = 0;  ///< 0: no flushes
    std::uint64_t seed = 1;
    unsigned threads = 1;  ///< each with `depth` requests in flight
    std::uint8_t pattern = 0;
    bool write = false;
    bool drain = true;  ///< before each flush
    bool random = false;
    BenchEngine engine = BenchEngine::automatic;
};

struct BenchResult {
    double seconds = 0;
    LatencyHistogram latency;
    std::uint64_t flushes = 0;
    std::string engine;  ///< the engine that was used
};

/// The guest offsets of one thread's requests: `first`, `first + stride`, ... of all requests.
/// Offsets wrap at the end of the disk; a request that would cross the end starts at offset 0.
class BenchOffsets {
public:
    BenchOffsets(const BenchSpec& spec, std::uint64_t disk_bytes, std::uint64_t first,
                 std::uint64_t stride);
    std::uint64_t next() noexcept;

private:
    std::uint64_t disk_bytes_;
    std::uint64_t last_start_;
    std::uint64_t stride_bytes_;
    std::uint64_t at_;
    bool random_;
    std::uint64_t state_;
    std::uint64_t slots_;
    std::uint64_t slot_bytes_;
};

/// Sends the requests and measures them. \errors invalid_argument, and those of the requests
Result<BenchResult> run_bench(Image& image, const BenchSpec& spec);

}  // namespace qed::cli
