// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <optional>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/image_path.hpp"
#include "cli/terminal/progress.hpp"
#include "qed/rebase.hpp"

namespace qed::cli {
namespace {

struct RebaseArgs {
    std::string file;
    std::string format;
    std::string cache = "writeback";
    std::string source_cache = "writeback";
    std::optional<std::string> base;
    std::string base_format;
    bool unsafe = false;
    LockArgs lock;
    BackingArgs backing;
    ProgressArgs progress;
};

Result<void> check_args(const RebaseArgs& args) {
    if (!args.base) {
        return fail(Errc::invalid_argument, "name the new backing file with -b; -b '' for none");
    }
    const bool has_base = !args.base->empty();
    if (has_base && args.base_format.empty()) {
        return fail(
            Errc::invalid_argument,
            fmt::format("state the format of '{}': -F raw, -F qed or -F qcow2", *args.base));
    }
    if (has_base) {
        if (auto known = known_base_format(args.base_format, "-F"); !known) return pass(known);
    }
    if (!args.format.empty() && args.format != "qed") {
        return fail(Errc::unsupported,
                    fmt::format("-f: an image of format {} has no backing file that qed can change",
                                args.format));
    }
    return {};
}

Result<RebaseOptions> rebase_options(const RebaseArgs& args, const BackingPolicy& policy) {
    auto cache = parse_cache_mode(args.cache, "-t");
    if (!cache) return pass(cache);
    auto source = parse_cache_mode(args.source_cache, "-T");
    if (!source) return pass(source);
    RebaseOptions options;
    options.format = known_base_format(args.base_format, "-F").value_or(BackingFormat::unstated);
    options.change_name_only = args.unsafe;
    options.direct = cache->direct;
    options.sync = cache->sync;
    options.ignore_flush = cache->ignore_flush;
    options.direct_backing = source->direct;
    options.lock = args.lock.mode();
    options.backing = policy;
    return options;
}

int run_rebase(const RebaseArgs& args, Console& console) {
    if (auto checked = check_args(args); !checked) return console.fail(checked.error());
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    auto options = rebase_options(args, *policy);
    if (!options) return console.fail(options.error());
    auto path = qed_image_path(args.file, "qed");
    if (!path) return console.fail(path.error());
    ProgressView progress(console, args.progress);
    options->progress = progress.hooks();
    auto report = rebase(*path, args.base->empty() ? nullptr : args.base->c_str(), *options);
    progress.finish(report.has_value());
    if (!report) return console.fail(report.error());
    warn_about_backing(*path, console);
    return kExitOk;
}

}  // namespace

void add_rebase(CLI::App& app, Console& console) {
    auto args = std::make_shared<RebaseArgs>();
    CLI::App& command =
        add_command(app, "rebase", "Give an image another backing file",
                    "  qed rebase -p -b newer.qed -F qed clone.qed\n"
                    "  qed rebase -b '' clone.qed          (copies all it needs: stands alone)");
    command.add_option("file", args->file, "The image")->required()->type_name("");
    command.add_option("-b", args->base, "The new backing file, seen from the image; '' for none")
        ->type_name("FILE");
    command.add_option("-F", args->base_format, "Format of it: raw, qed or qcow2")
        ->type_name("FMT");
    command.add_flag("-u", args->unsafe, "Only change the name: the content is known to match");
    command.add_option("-f", args->format, "Format of the image: qed")->type_name("FMT");
    command.add_option("-t", args->cache, "Cache mode of the image")->type_name("MODE");
    command.add_option("-T", args->source_cache, "Cache mode of the new backing file")
        ->type_name("MODE");
    add_no_lock_option(command, args->lock);
    add_backing_options(command, args->backing);
    add_progress_options(command, args->progress);
    refuse_flag(command, "-U,--force-share",
                "rebase writes the image, so no other process may use it");
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_rebase);
}

}  // namespace qed::cli
