// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/commands/convert_plan.hpp"

namespace qed::cli {
namespace {

void refuse_convert_options(CLI::App& command) {
    refuse_flag(command, "-c", "QED and raw images hold no compressed data");
    refuse_option(command, "-l", "QED images hold no internal snapshots; convert the overlay");
    refuse_flag(command, "--bitmaps", "QED images hold no dirty bitmaps");
    refuse_flag(command, "--skip-broken-bitmaps", "QED images hold no dirty bitmaps");
    refuse_flag(command, "--target-image-opts",
                "QEMU's option strings are not supported; give the file's name and -O");
    refuse_objects(command);
    refuse_image_opts(command);
}

}  // namespace

void add_convert(CLI::App& app, Console& console) {
    auto args = std::make_shared<ConvertArgs>();
    CLI::App& command = add_command(app, "convert", "Copy a disk into a new image or a raw file",
                                    "  qed convert -p -f raw -O qed disk.raw disk.qed\n"
                                    "  qed convert -f qed -O raw clone.qed /dev/vg/disk");
    command.add_option("files", args->files, "One or more sources, then the target")
        ->required()
        ->type_name("");
    command.add_option("-f", args->source_format, "Format of the sources: qed or raw")
        ->type_name("FMT");
    command.add_option("-O", args->target_format, "Format of the target; default: qed for *.qed")
        ->type_name("FMT");
    command.add_option("-o", args->options, "Options of the target; -o help lists them")
        ->type_name("LIST")
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
    command.add_option("-B,-b", args->backing, "Backing file of the target: copy the differences")
        ->type_name("FILE");
    command.add_option("-F", args->backing_format, "Format of that backing file")->type_name("FMT");
    command.add_flag("-n", args->no_create, "Write into the existing target");
    command.add_flag("--target-is-zero", args->target_is_zero,
                     "With -n: the target reads as zeroes");
    command
        .add_option("-S", args->sparse, "Smallest run of zeroes to make a hole; 0: allocate all")
        ->type_name("SIZE");
    command.add_option("-m", args->copies, "Number of concurrent copies, 1 to 16")->type_name("N");
    command.add_flag("-W", args->out_of_order, "Write pieces in any order");
    command.add_option("-r", args->rate, "Copy at most this many bytes per second")
        ->type_name("SIZE");
    command
        .add_option("-t", args->target_cache, "Cache mode of the target, such as none or unsafe")
        ->type_name("MODE");
    command.add_option("-T", args->source_cache, "Cache mode of the sources")->type_name("MODE");
    command.add_flag("-C", args->share_blocks,
                     "Share blocks with the source without scanning them");
    command.add_flag("--salvage", args->salvage, "Write zeroes for data that cannot be read");
    add_lock_options(command, args->lock);
    add_backing_options(command, args->source_backing);
    add_progress_options(command, args->progress);
    refuse_convert_options(command);
    on_run(command, console, args, run_convert_command);
}

}  // namespace qed::cli
