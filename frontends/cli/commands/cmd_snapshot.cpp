// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/image_path.hpp"
#include "cli/disks/overlay_size.hpp"
#include "qed/snapshot.hpp"

namespace qed::cli {
namespace {

struct SnapshotArgs {
    std::string file;
    std::string base;
    std::string format;
    std::string depth;
    std::string cluster;
    bool revert = false;
    bool quiet = false;
    LockArgs lock;
};

Result<void> freeze(const SnapshotArgs& args, const std::string& path, const std::string& base) {
    auto depth = backing_depth(args.depth);
    if (!depth) return pass(depth);
    SnapshotOptions options;
    options.format = args.format == "raw" ? BackingFormat::raw : BackingFormat::qed;
    options.depth_limit = *depth;
    options.lock = args.lock.mode();
    auto cluster = overlay_cluster_bytes(args.cluster);
    if (!cluster) return pass(cluster);
    options.cluster_bytes = *cluster;
    return snapshot(path, base, options);
}

Result<void> refuse_mixed(const SnapshotArgs& args) {
    if (args.revert == args.base.empty()) return {};
    return fail(Errc::invalid_argument,
                args.revert
                    ? "--revert goes back to the backing file; name only the image"
                    : "name the file that keeps the present state: qed snapshot IMAGE BASE");
}

int run_snapshot(const SnapshotArgs& args, Console& console) {
    if (auto legal = refuse_mixed(args); !legal) return console.fail(legal.error());
    auto path = base_path(args.file, args.format);
    if (!path) return console.fail(path.error());
    if (args.revert) {
        auto done = revert_to_snapshot(*path, args.lock.mode());
        if (!done) return console.fail(done.error());
        if (!args.quiet) console.print("'{}' is back at its snapshot.\n", args.file);
        return kExitOk;
    }
    auto base = plain_path(args.base);
    if (!base) return console.fail(base.error());
    if (auto done = freeze(args, *path, *base); !done) return console.fail(done.error());
    warn_about_backing(*path, console);
    if (!args.quiet) {
        console.print("'{}' keeps the present state; '{}' continues on top of it.\n", args.base,
                      args.file);
    }
    return kExitOk;
}

}  // namespace

void add_snapshot(CLI::App& app, Console& console) {
    auto args = std::make_shared<SnapshotArgs>();
    CLI::App& command =
        add_command(app, "snapshot", "Freeze an image as a backing file and go on in an overlay",
                    "  qed snapshot disk.qed disk-monday.qed\n"
                    "  qed snapshot --revert disk.qed      (what changed since Monday is dropped)\n"
                    "  qed commit disk.qed                 (what changed since then is kept)");
    command.add_option("file", args->file, "The image; no other process may use it")
        ->required()
        ->type_name("");
    command.add_option("base", args->base, "New name of the present state")->type_name("");
    command.add_flag("--revert", args->revert, "Drop what the image holds over its backing file");
    command.add_option("-f", args->format, "Format of the image: qed or raw")->type_name("FMT");
    command.add_flag("-q,--quiet", args->quiet, "Print errors only");
    add_no_lock_option(command, args->lock);
    add_depth_option(command, args->depth);
    add_cluster_size_option(command, args->cluster);
    const std::string instead =
        "QED images hold no internal snapshots; 'qed snapshot IMAGE BASE' freezes an image as a "
        "file, 'qed snapshot --revert IMAGE' goes back to it";
    refuse_flag(command, "-l", instead);
    refuse_option(command, "-a", instead);
    refuse_option(command, "-c", instead);
    refuse_option(command, "-d", instead);
    refuse_flag(command, "-U,--force-share", "a snapshot needs the image for itself");
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_snapshot);
}

}  // namespace qed::cli
