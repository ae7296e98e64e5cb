// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/measure.hpp"

namespace qed::cli {
namespace {

struct MeasureArgs {
    std::string file;
    std::string size;
    std::string format;
    std::string target_format = "raw";
    std::vector<std::string> options;
    LockArgs lock;
    OutputArgs output;
    BackingArgs backing;
};

Result<Measurement> measure_source(const MeasureArgs& args, NewDisk& target,
                                   const Geometry& geometry) {
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return pass(policy);
    DiskArgs open;
    open.format = args.format;
    open.lock = args.lock.mode();
    open.foreign = true;
    open.backing = *policy;
    auto disk = open_disk(args.file, open);
    if (!disk) return pass(disk);
    target.bytes = disk->image->size();
    QED_CHECK(resolve_new_disk("", target));
    if (args.target_format == "qed") return measure_qed(*disk->image, geometry);
    return Measurement{disk->image->size(), disk->image->size()};
}

Result<Measurement> measure(const MeasureArgs& args) {
    if (args.file.empty() == args.size.empty()) {
        return fail(Errc::invalid_argument, "measure needs either an image or --size");
    }
    if (auto known = known_format(args.target_format, "-O"); !known) return pass(known);
    auto target = parse_new_disk(args.target_format, args.options);
    if (!target) return pass(target);
    auto geometry = Geometry::make(target->cluster_bytes, target->table_clusters);
    if (!geometry) return pass(geometry);
    if (!args.file.empty()) return measure_source(args, *target, *geometry);
    auto bytes = parse_size(args.size, "--size");
    if (!bytes) return pass(bytes);
    target->bytes = *bytes;
    QED_CHECK(resolve_new_disk("", *target));
    if (args.target_format == "qed") return measure_qed(*target->bytes, *geometry);
    return Measurement{*target->bytes, *target->bytes};
}

int run_measure(const MeasureArgs& args, Console& console) {
    auto result = measure(args);
    if (!result) return console.fail(result.error());
    if (args.output.json()) {
        nlohmann::ordered_json json;
        json["required"] = result->required;
        json["fully-allocated"] = result->fully_allocated;
        console.write(dump_json(json));
    } else {
        console.print("required size: {}\nfully allocated size: {}\n", result->required,
                      result->fully_allocated);
    }
    return kExitOk;
}

}  // namespace

void add_measure(CLI::App& app, Console& console) {
    auto args = std::make_shared<MeasureArgs>();
    CLI::App& command = add_command(app, "measure", "Tell how large a new image's file would be",
                                    "  qed measure -O qed -f raw disk.raw");
    command.add_option("file", args->file, "The disk to convert")->type_name("");
    command
        .add_option("--size", args->size, "Measure an empty disk of this size instead of a file")
        ->type_name("SIZE");
    command.add_option("-f", args->format, "Format of the file: qed or raw")->type_name("FMT");
    command.add_option("-O", args->target_format, "Format of the new image: raw (default) or qed")
        ->type_name("FMT");
    command.add_option("-o", args->options, "Options of the new image, as for create")
        ->type_name("LIST")
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
    add_output_option(command, args->output);
    add_lock_options(command, args->lock);
    add_backing_options(command, args->backing);
    refuse_option(command, "-l", "QED images hold no internal snapshots");
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_measure);
}

}  // namespace qed::cli
