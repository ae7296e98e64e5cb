// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <optional>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/image_path.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/disks/overlay_size.hpp"
#include "cli/terminal/sizes.hpp"

namespace qed::cli {
namespace {

struct CreateArgs {
    std::string path;
    std::string size;
    std::string format;
    std::string backing;
    std::string backing_format;
    std::vector<std::string> options;
    std::string cluster;
    std::string depth;
    bool unsafe_backing = false;
    bool quiet = false;
    bool exclusive = false;
    LockArgs lock;
};

/// Moves -b, -F and the size into the options of the format, each of which may be given only once.
Result<void> merge_arguments(const CreateArgs& args, NewDisk& disk) {
    if (!args.backing.empty()) {
        if (!disk.backing_name.empty() && disk.backing_name != args.backing) {
            return fail(Errc::invalid_argument, "-b and -o backing_file name different files");
        }
        disk.backing_name = args.backing;
    }
    if (!args.backing_format.empty()) {
        if (!disk.backing_format.empty() && disk.backing_format != args.backing_format) {
            return fail(Errc::invalid_argument, "-F and -o backing_fmt state different formats");
        }
        disk.backing_format = args.backing_format;
    }
    if (!args.size.empty()) {
        if (disk.bytes) return fail(Errc::invalid_argument, "the size is stated twice");
        auto bytes = parse_size(args.size, "size");
        if (!bytes) return pass(bytes);
        disk.bytes = *bytes;
    }
    if (!args.cluster.empty()) {
        if (disk.backing_name.empty() || disk.cluster_bytes_stated) {
            return fail(Errc::invalid_argument,
                        "--cluster-size is for overlays (-b), in place of -o cluster_size");
        }
        auto cluster = overlay_cluster_bytes(args.cluster);
        if (!cluster) return pass(cluster);
        disk.cluster_bytes = *cluster;
        disk.fits_tables = !disk.table_clusters_stated;
    }
    auto depth = backing_depth(args.depth);
    if (!depth) return pass(depth);
    disk.depth_limit = *depth;
    disk.check_backing = !args.unsafe_backing;
    disk.exclusive = args.exclusive;
    disk.lock = args.lock.mode();
    return {};
}

int run_create(const CreateArgs& args, Console& console) {
    const std::string format = args.format.empty() ? default_output_format(args.path) : args.format;
    if (auto known = known_format(format, "-f"); !known) return console.fail(known.error());
    for (const std::string& list : args.options) {
        if (list == "help" || list == "?") {
            console.write(new_disk_options_help(format));
            return kExitOk;
        }
    }
    if (args.path.empty()) {
        return console.fail("create needs the name of the new image; see 'qed create --help'");
    }
    auto path = plain_path(args.path);
    if (!path) return console.fail(path.error());
    auto disk = parse_new_disk(format, args.options);
    if (!disk) return console.fail(disk.error());
    if (auto merged = merge_arguments(args, *disk); !merged) return console.fail(merged.error());
    if (auto ready = resolve_new_disk(*path, *disk); !ready) return console.fail(ready.error());
    if (!args.quiet) console.print("Formatting '{}', {}\n", args.path, describe_new_disk(*disk));
    console.flush();
    if (const auto warning = compatibility_warning(*disk)) console.warn(*warning);
    if (auto done = create_disk(*path, *disk); !done) return console.fail(done.error());
    if (format == "qed") warn_about_backing(*path, console);
    return kExitOk;
}

}  // namespace

void add_create(CLI::App& app, Console& console) {
    auto args = std::make_shared<CreateArgs>();
    CLI::App& command = add_command(app, "create", "Make a new image",
                                    "  qed create -f qed disk.qed 10G\n"
                                    "  qed create -f qed -b golden.qed -F qed clone.qed");
    command.add_option("file", args->path, "The new image")->type_name("");
    command.add_option("size", args->size, "Virtual size, as 10G; default: the backing file's")
        ->type_name("");
    command.add_option("-f", args->format, "Format: qed or raw; default: qed for names in .qed")
        ->type_name("FMT");
    command.add_option("-o", args->options, "Options of the format; -o help lists them")
        ->type_name("LIST")
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
    command.add_option("-b,--backing-file", args->backing, "Backing file")->type_name("FILE");
    add_cluster_size_option(command, args->cluster);
    command.add_option("-F", args->backing_format, "Format of the backing file: raw, qed or qcow2")
        ->type_name("FMT");
    add_no_lock_option(command, args->lock);
    add_depth_option(command, args->depth);
    command.add_flag("-u", args->unsafe_backing, "Do not open the backing file (needs a size)");
    command.add_flag("-q,--quiet", args->quiet, "Print errors only");
    command.add_flag("--exclusive", args->exclusive, "Fail when the file exists");
    refuse_objects(command);
    on_run(command, console, args, run_create);
}

}  // namespace qed::cli
