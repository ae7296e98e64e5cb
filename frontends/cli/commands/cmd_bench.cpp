// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/load/bench_run.hpp"
#include "cli/terminal/sizes.hpp"

namespace qed::cli {
namespace {

using Json = nlohmann::ordered_json;

struct BenchArgs {
    std::string file;
    std::string format;
    std::string count = "75000";
    std::string depth = "64";
    std::string bytes = "4096";
    std::string step = "0";
    std::string offset = "0";
    std::string flush_interval;
    std::string pattern = "0";
    std::string threads = "1";
    std::string seed = "1";
    std::string engine;
    std::string cache = "writeback";
    std::string order = "automatic";
    bool write = false;
    bool no_drain = false;
    bool random = false;
    bool mapped = false;
    LockArgs lock;
    bool quiet = false;
    bool json = false;
    BackingArgs backing;
};

constexpr std::uint64_t kMaxRequestBytes = 2147483647;
constexpr std::uint64_t kMaxDepth = 65536;

template <class T, class Value>
Result<void> take(T& into, Result<Value> parsed) {
    if (!parsed) return pass(parsed);
    into = static_cast<T>(*parsed);
    return {};
}

Result<BenchSpec> spec_of(const BenchArgs& args) {
    BenchSpec spec;
    QED_CHECK(take(spec.count, parse_number(args.count, "-c", 0, kMaxSize - 1)));
    QED_CHECK(take(spec.depth, parse_number(args.depth, "-d", 1, kMaxDepth)));
    QED_CHECK(take(spec.bytes, parse_size(args.bytes, "-s")));
    QED_CHECK(take(spec.step, parse_size(args.step, "-S")));
    QED_CHECK(take(spec.offset, parse_size(args.offset, "-o")));
    QED_CHECK(take(spec.pattern, parse_number(args.pattern, "--pattern", 0, 255)));
    QED_CHECK(take(spec.threads, parse_number(args.threads, "--threads", 1, 1024)));
    QED_CHECK(take(spec.seed, parse_number(args.seed, "--seed", 0, ~std::uint64_t{0})));
    if (spec.bytes == 0 || spec.bytes > kMaxRequestBytes) {
        return fail(Errc::invalid_argument,
                    fmt::format("-s: {} is not from 1 to {}", spec.bytes, kMaxRequestBytes));
    }
    if (spec.step == 0) spec.step = spec.bytes;
    if (!args.flush_interval.empty()) {
        QED_CHECK(take(spec.flush_interval,
                       parse_number(args.flush_interval, "--flush-interval", 0, kMaxSize - 1)));
    }
    spec.write = args.write;
    spec.drain = !args.no_drain;
    spec.random = args.random;
    if (spec.flush_interval != 0 && !spec.write) {
        return fail(Errc::invalid_argument, "--flush-interval needs writes; add -w");
    }
    if (spec.flush_interval != 0 && spec.flush_interval < spec.depth) {
        return fail(Errc::invalid_argument, "--flush-interval cannot be smaller than the depth");
    }
    if (args.engine == "threads") spec.engine = BenchEngine::threads;
    if (args.engine == "io_uring") spec.engine = BenchEngine::io_uring;
    return spec;
}

WriteOrder order_of(std::string_view name) {
    if (name == "strict") return WriteOrder::strict;
    if (name == "ordered") return WriteOrder::ordered;
    if (name == "deferred") return WriteOrder::deferred;
    return WriteOrder::automatic;
}

Json json_of(const CacheStats& stats) {
    return {{"hits", stats.hits},
            {"misses", stats.misses},
            {"coalesced", stats.coalesced},
            {"loads-in-flight", stats.loads_in_flight},
            {"read-bytes", stats.read_bytes},
            {"commits", stats.commits},
            {"duplicates-dropped", stats.duplicates_dropped},
            {"stale-dropped", stats.stale_dropped},
            {"evictions", stats.evictions},
            {"slices", stats.slices},
            {"pinned", stats.pinned}};
}

Json json_of(const BenchSpec& spec, const BenchResult& result, const Stats& stats) {
    const auto count = static_cast<double>(spec.count);
    const LatencyHistogram& latency = result.latency;
    Json json;
    json["requests"] = spec.count;
    json["bytes"] = spec.bytes;
    json["write"] = spec.write;
    json["random"] = spec.random;
    json["depth"] = spec.depth;
    json["threads"] = spec.threads;
    json["engine"] = result.engine;
    json["flushes"] = result.flushes;
    json["seconds"] = result.seconds;
    json["iops"] = count / result.seconds;
    json["bytes-per-second"] = count * static_cast<double>(spec.bytes) / result.seconds;
    json["latency-ns"] = {{"mean", latency.mean()},
                          {"p50", latency.percentile(0.50)},
                          {"p90", latency.percentile(0.90)},
                          {"p99", latency.percentile(0.99)},
                          {"p99.9", latency.percentile(0.999)},
                          {"max", latency.max()}};
    const CacheStats total = CacheBudget::process()->stats();
    json["cache"] = json_of(stats.cache);
    json["cache-total"] = json_of(total);  // including the backing files
    json["cache-memory"] = {{"bytes", total.bytes},
                            {"peak-bytes", total.peak_bytes},
                            {"limit-bytes", total.limit_bytes},
                            {"grows", total.grows},
                            {"shrinks", total.shrinks}};
    json["allocated-clusters"] = stats.allocated_clusters;
    json["file-flushes"] = stats.file_flushes;
    json["table-writes"] = stats.table_writes;
    json["mapped-bytes"] = stats.mapped_bytes;
    return json;
}

double micros(double nanoseconds) {
    return nanoseconds / 1000;
}

void print_human(const BenchSpec& spec, const BenchResult& result, const Stats& stats, bool quiet,
                 Console& console) {
    const double iops = static_cast<double>(spec.count) / result.seconds;
    const LatencyHistogram& latency = result.latency;
    const auto percentile = [&latency](double fraction) {
        return micros(static_cast<double>(latency.percentile(fraction)));
    };
    console.print("Run completed in {:.3f} seconds.\n", result.seconds);
    if (quiet) return;
    console.print("IOPS: {:.0f}, throughput: {}/s, by {}{}\n", iops,
                  human_size(static_cast<std::uint64_t>(iops * static_cast<double>(spec.bytes))),
                  result.engine,
                  spec.threads > 1 ? fmt::format(" on {} threads", spec.threads) : "");
    console.print(
        "Latency in us: mean {:.1f}, p50 {:.1f}, p90 {:.1f}, p99 {:.1f}, p99.9 {:.1f}, max "
        "{:.1f}\n",
        micros(latency.mean()), percentile(0.50), percentile(0.90), percentile(0.99),
        percentile(0.999), micros(static_cast<double>(latency.max())));
    console.print("Table cache: {} hits, {} misses, {} evictions, {} read, {} of {} in use\n",
                  stats.cache.hits, stats.cache.misses, stats.cache.evictions,
                  human_size(stats.cache.read_bytes), human_size(stats.cache.bytes),
                  human_size(stats.cache.limit_bytes));
}

int run_bench_command(const BenchArgs& args, Console& console) {
    auto spec = spec_of(args);
    if (!spec) return console.fail(spec.error());
    auto cache = parse_cache_mode(args.cache, "-t");
    if (!cache) return console.fail(cache.error());
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    DiskArgs open;
    open.format = args.format;
    open.writable = args.write;
    open.lock = args.lock.mode();
    open.cache = *cache;
    open.backing = *policy;
    open.order = order_of(args.order);
    open.mapped = args.mapped;
    auto disk = open_disk(args.file, open);
    if (!disk) return console.fail(disk.error());

    if (!args.json) {
        console.print(
            "Sending {} {} requests, {} bytes each, {} in parallel (starting at offset {}, step "
            "size {})\n",
            spec->count, spec->write ? "write" : "read", spec->bytes, spec->depth, spec->offset,
            spec->step);
        if (spec->flush_interval != 0) {
            console.print("Sending flush every {} requests\n", spec->flush_interval);
        }
        console.flush();
    }
    auto result = run_bench(*disk->image, *spec);
    if (!result) return console.fail(result.error());
    const Stats stats = disk->image->stats();
    if (args.json) {
        console.write(dump_json(json_of(*spec, *result, stats)));
    } else {
        print_human(*spec, *result, stats, args.quiet, console);
    }
    if (auto closed = disk->image->close(); !closed) return console.fail(closed.error());
    return kExitOk;
}

void add_request_options(CLI::App& command, BenchArgs& args) {
    command.add_option("-c", args.count, "Number of requests; default 75000")->type_name("N");
    command.add_option("-d", args.depth, "Requests in flight; default 64")->type_name("N");
    command.add_option("-s", args.bytes, "Bytes of a request; default 4096")->type_name("SIZE");
    command.add_option("-S", args.step, "Distance between two requests; default: -s")
        ->type_name("SIZE");
    command.add_option("-o", args.offset, "Offset of the first request")->type_name("SIZE");
    command.add_flag("-w", args.write, "Write instead of reading: destroys the content");
    command.add_option("--order", args.order, "When table entries reach the file")
        ->check(CLI::IsMember({"automatic", "strict", "ordered", "deferred"}))
        ->type_name("ORDER");
    command.add_option("--pattern", args.pattern, "Byte to write")->type_name("N");
    command.add_option("--flush-interval", args.flush_interval, "Flush after every N writes")
        ->type_name("N");
    command.add_flag("--no-drain", args.no_drain,
                     "Do not wait for writes in flight before a flush");
    command.add_flag("--random", args.random, "Random offsets instead of steps");
    command.add_option("--seed", args.seed, "Seed of the random offsets")->type_name("N");
    command.add_option("--threads", args.threads, "Threads, each with -d requests in flight")
        ->type_name("N");
}

}  // namespace

void add_bench(CLI::App& app, Console& console) {
    auto args = std::make_shared<BenchArgs>();
    CLI::App& command = add_command(app, "bench", "Measure the speed of requests to an image",
                                    "  qed bench -c 100000 -d 32 --random disk.qed");
    command.add_option("file", args->file, "The image")->required()->type_name("");
    command
        .add_option("-f", args->format,
                    "Format: qed or raw; default: the file's first bytes decide")
        ->type_name("FMT");
    add_request_options(command, *args);
    command.add_option("-t", args->cache, "Cache mode: writeback, none ...")->type_name("MODE");
    command.add_option("-i", args->engine, "threads or io_uring; default: threads at depth 1")
        ->check([](const std::string& engine) {
            if (engine == "threads" || engine == "io_uring") return std::string();
            if (engine == "native") {
                return std::string("Linux's older asynchronous I/O is not supported; use io_uring");
            }
            return fmt::format("'{}' is neither threads nor io_uring", engine);
        })
        ->type_name("AIO");
    refuse_flag(command, "-n,--native",
                "Linux's older asynchronous I/O is not supported; use -i io_uring");
    command.add_flag("--mapped", args->mapped,
                     "Map files opened read-only; no program may truncate them");
    add_lock_options(command, args->lock);
    command.add_flag("-q,--quiet", args->quiet, "Print only the lines of qemu-img bench");
    command.add_flag("--json", args->json, "Print the result as JSON");
    add_backing_options(command, args->backing);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_bench_command);
}

}  // namespace qed::cli
