// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/terminal/progress.hpp"
#include "qed/compare.hpp"

namespace qed::cli {
namespace {

constexpr int kExitDifferent = 1;
constexpr int kExitNotOpened = 2;
constexpr int kExitNoStatus = 3;
constexpr int kExitNotRead = 4;

struct CompareArgs {
    std::string one;
    std::string other;
    std::string one_format;
    std::string other_format;
    std::string cache = "writeback";
    bool strict = false;
    LockArgs lock;
    BackingArgs backing;
    ProgressArgs progress;
};

Result<Disk> open_side(const std::string& file, const std::string& format, const CompareArgs& args,
                       std::string& storage) {
    DiskArgs open;
    open.format = format;
    open.lock = args.lock.mode();
    open.foreign = true;
    auto cache = parse_cache_mode(args.cache, "-T");
    if (!cache) return pass(cache);
    open.cache = *cache;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return pass(policy);
    open.backing = *policy;
    return open_disk(file, open);
}

int fail_with(Console& console, const Error& error, int status) {
    console.fail(error);
    return status;
}

/// \param common_bytes  the size of the smaller disk
int print_verdict(const CompareReport& report, const CompareArgs& args, std::uint64_t common_bytes,
                  Console& console) {
    using Verdict = CompareReport::Verdict;
    if (!args.progress.quiet) {
        const bool differs_before =
            report.verdict == Verdict::content_differs && report.offset < common_bytes;
        if (report.sizes_differ && !args.strict && !differs_before) {
            console.write("Warning: Image size mismatch!\n");
        }
        switch (report.verdict) {
            case Verdict::equal:
                console.write("Images are identical.\n");
                break;
            case Verdict::content_differs:
                console.print("Content mismatch at offset {}!\n", report.offset);
                break;
            case Verdict::size_differs:
                console.write("Strict mode: Image size mismatch!\n");
                break;
            case Verdict::status_differs:
                console.print("Strict mode: Offset {} block status mismatch!\n", report.offset);
                break;
        }
    }
    return report.verdict == Verdict::equal ? kExitOk : kExitDifferent;
}

int run_compare(const CompareArgs& args, Console& console) {
    std::string storage;
    auto one = open_side(args.one, args.one_format, args, storage);
    if (!one) return fail_with(console, one.error(), kExitNotOpened);
    auto other = open_side(args.other, args.other_format, args, storage);
    if (!other) return fail_with(console, other.error(), kExitNotOpened);

    ProgressView progress(console, args.progress);
    CompareOptions options;
    options.strict = args.strict;
    options.progress = progress.hooks();
    auto report = compare(*one->image, *other->image, options);
    progress.finish(report.has_value());
    if (!report) {
        const bool in_tables = report.error().code() == Errc::corrupt_metadata;
        return fail_with(console, report.error(), in_tables ? kExitNoStatus : kExitNotRead);
    }
    const std::uint64_t common_bytes = std::min(one->image->size(), other->image->size());
    return print_verdict(*report, args, common_bytes, console);
}

}  // namespace

void add_compare(CLI::App& app, Console& console) {
    auto args = std::make_shared<CompareArgs>();
    CLI::App& command =
        add_command(app, "compare", "Tell whether two disks have the same content",
                    "  qed compare -f raw -F qed disk.raw disk.qed\n"
                    "Exit status: 0 equal, 1 different, 2 not opened, 3 corrupt, 4 not readable");
    command.add_option("one", args->one, "The first disk")->required()->type_name("");
    command.add_option("other", args->other, "The second disk")->required()->type_name("");
    command.add_option("-f", args->one_format, "Format of the first disk: qed or raw")
        ->type_name("FMT");
    command.add_option("-F", args->other_format, "Format of the second disk")->type_name("FMT");
    command.add_flag("-s", args->strict, "Sizes and allocation must be equal too");
    command.add_option("-T", args->cache, "Cache mode, such as none")->type_name("MODE");
    add_lock_options(command, args->lock);
    add_backing_options(command, args->backing);
    add_progress_options(command, args->progress);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_compare);
}

}  // namespace qed::cli
