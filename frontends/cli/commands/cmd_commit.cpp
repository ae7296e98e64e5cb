// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/image_path.hpp"
#include "cli/load/pace.hpp"
#include "cli/terminal/progress.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/commit.hpp"

namespace qed::cli {
namespace {

struct CommitArgs {
    std::string file;
    std::string format;
    std::string cache = "writeback";
    std::string base;
    std::string rate;
    bool keep = false;
    LockArgs lock;
    BackingArgs backing;
    ProgressArgs progress;
};

/// Says how to commit although no other file can take the overlay's place.
Error explained(Error error) {
    const bool cannot_replace =
        error.code() == Errc::unsupported && error.sys_errno() != EOPNOTSUPP;
    if (!cannot_replace) return error;
    return std::move(error).with_context("add -d to leave the overlay as it is");
}

int run_commit(const CommitArgs& args, Console& console) {
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    auto cache = parse_cache_mode(args.cache, "-t");
    if (!cache) return console.fail(cache.error());
    auto rate = args.rate.empty() ? Result<std::uint64_t>(0) : parse_size(args.rate, "-r");
    if (!rate) return console.fail(rate.error());
    auto path = qed_image_path(args.file, args.format);
    if (!path) return console.fail(path.error());
    ProgressView progress(console, args.progress);
    Pace pace(progress, *rate);
    CommitOptions options;
    if (!args.base.empty()) options.base = args.base.c_str();
    options.keep_overlay = args.keep;
    options.direct = cache->direct;
    options.sync = cache->sync;
    options.ignore_flush = cache->ignore_flush;
    options.lock = args.lock.mode();
    options.backing = *policy;
    options.progress = pace.hooks();
    auto report = commit(*path, options);
    progress.finish(report.has_value());
    if (!report) return console.fail(explained(std::move(report.error())));
    for (const std::string& layer : report->changed_layers) {
        console.warn(
            fmt::format("'{}' lies between; on its own it now shows changed content", layer));
    }
    if (!args.progress.quiet) console.write("Image committed.\n");
    return kExitOk;
}

}  // namespace

void add_commit(CLI::App& app, Console& console) {
    auto args = std::make_shared<CommitArgs>();
    CLI::App& command = add_command(
        app, "commit", "Write what an overlay holds into its backing file, and empty it",
        "  qed commit -p clone.qed\n"
        "Other overlays of the same backing file see changed content below them.");
    command.add_option("file", args->file, "The overlay")->required()->type_name("");
    command.add_option("-b", args->base, "Commit down to this file of the chain; implies -d")
        ->type_name("FILE");
    command.add_flag("-d", args->keep, "Do not empty the overlay");
    command.add_option("-f", args->format, "Format of the overlay: qed")->type_name("FMT");
    command.add_option("-t", args->cache, "Cache mode of the backing file")->type_name("MODE");
    command.add_option("-r", args->rate, "At most this many bytes a second")->type_name("SIZE");
    add_no_lock_option(command, args->lock);
    add_backing_options(command, args->backing);
    add_progress_options(command, args->progress);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_commit);
}

}  // namespace qed::cli
