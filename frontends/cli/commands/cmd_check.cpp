// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <thread>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/foreign.hpp"
#include "cli/reports/check_text.hpp"
#include "cli/serve/sandbox_option.hpp"
#include "cli/terminal/progress.hpp"
#include "qed/check.hpp"

namespace qed::cli {
namespace {

constexpr int kExitNoCheck = 63;
constexpr unsigned kMaxThreads = 4;  // more threads would only wait for memory

struct CheckArgs {
    std::string file;
    std::string format;
    std::string repair;
    std::string cache = "writeback";
    LockArgs lock;
    OutputArgs output;
    ProgressArgs progress;
    SandboxArgs sandbox;
};

Result<DiskArgs> disk_args_of(const CheckArgs& args) {
    auto cache = parse_cache_mode(args.cache, "-T");
    if (!cache) return pass(cache);
    DiskArgs open;
    open.format = args.format;
    open.lock = args.lock.mode();
    open.writable = !args.repair.empty();
    open.cache = *cache;
    if (open.writable && open.lock == LockMode::force_shared) {
        return fail(Errc::invalid_argument, "-U only reads: it cannot be combined with -r");
    }
    return open;
}

Result<CheckReport> check(BlockFile& file, const std::string& format, const CheckArgs& args,
                          Console& console, Repair repair, unsigned threads) {
    ProgressView progress(console, args.progress);
    CheckOptions options;
    options.format = format.c_str();
    options.repair = repair;
    options.threads = threads;
    options.progress = progress.hooks();
    auto report = sync_wait(check_file(file, options));
    progress.finish(report.has_value());
    return report;
}

int run_check(const CheckArgs& args, Console& console) {
    auto path = plain_path(args.file);
    if (!path) return console.fail(path.error());
    auto open = disk_args_of(args);
    if (!open) return console.fail(open.error());
    auto file = open_locked(*path, *open);
    if (!file) return console.fail(file.error());
    auto format = args.format.empty() ? probe_format(*path) : Result<std::string>(args.format);
    if (!format) return console.fail(format.error());
    if (is_foreign_format(*format)) {
        console.fail(fmt::format("'{}' has format {}, which has no checks", *path, *format));
        return kExitNoCheck;
    }
    // Asked before the sandbox closes, because the answer is in a file.
    const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
    if (auto closed = enter_sandbox(args.sandbox); !closed) return console.fail(closed.error());

    Repair repair = Repair::none;
    if (args.repair == "leaks") repair = Repair::leaks;
    if (args.repair == "entries") repair = Repair::entries;
    if (args.repair == "all") repair = Repair::all;
    auto report = check(**file, *format, args, console, repair, threads);
    if (!report && *format != "qed" && report.error().code() == Errc::unsupported) {
        console.fail(report.error());
        return kExitNoCheck;
    }
    if (!report) return console.fail(report.error());
    const CheckReport first = *report;
    const bool changed = first.corruptions_fixed + first.leaks_fixed > 0;
    if (changed) {
        // Check the repaired image again.
        report = check(**file, *format, args, console, Repair::none, threads);
        if (!report) return console.fail(report.error());
    }
    if (args.output.json()) {
        console.write(check_json(args.file, first, *report));
    } else if (!args.progress.quiet) {
        console.write(check_text(first, *report));
    }
    return check_exit_status(*report);
}

}  // namespace

void add_check(CLI::App& app, Console& console) {
    auto args = std::make_shared<CheckArgs>();
    CLI::App& command = add_command(
        app, "check", "Verify an image's tables, and repair them with -r",
        "  qed check -r leaks disk.qed\n"
        "Exit status: 0 no errors, 1 check failed, 2 corrupt, 3 leaks, 63 not a QED image");
    command.add_option("file", args->file, "The image")->required()->type_name("");
    command.add_option("-f", args->format, "Format: qed; default: the file's first bytes decide")
        ->type_name("FMT");
    command
        .add_option("-r,--repair", args->repair,
                    "leaks: reclaim leaks; entries: repair tables; all: both")
        ->check(CLI::IsMember({"leaks", "entries", "all"}))
        ->type_name("WHAT");
    command.add_option("-T", args->cache, "Cache mode for reading, such as none")
        ->type_name("MODE");
    add_output_option(command, args->output);
    add_lock_options(command, args->lock);
    add_progress_options(command, args->progress);
    add_sandbox_option(command, args->sandbox);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_check);
}

}  // namespace qed::cli
