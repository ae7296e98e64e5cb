// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/terminal/progress.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/compact.hpp"

namespace qed::cli {
namespace {

struct CompactArgs {
    std::string file;
    bool sort = false;
    LockArgs lock;
    OutputArgs output;
    ProgressArgs progress;
};

std::string compact_text(const CompactReport& report) {
    std::string text =
        fmt::format("before: {}\nafter: {}\n{} clusters reclaimed, of which {} held only zeroes\n",
                    human_size(report.file_bytes_before), human_size(report.file_bytes_after),
                    report.leaks_reclaimed, report.zero_clusters);
    if (report.sorted_bytes != 0) {
        text +=
            fmt::format("{} moved into the order of the disk\n", human_size(report.sorted_bytes));
    }
    return text;
}

std::string compact_json(const std::string& file, const CompactReport& report) {
    nlohmann::ordered_json json;
    json["filename"] = file;
    json["file-bytes-before"] = report.file_bytes_before;
    json["file-bytes-after"] = report.file_bytes_after;
    json["clusters-reclaimed"] = report.leaks_reclaimed;
    json["zero-clusters"] = report.zero_clusters;
    json["sorted-bytes"] = report.sorted_bytes;
    return dump_json(json);
}

int run_compact(const CompactArgs& args, Console& console) {
    auto path = plain_path(args.file);
    if (!path) return console.fail(path.error());
    ProgressView progress(console, args.progress);
    CompactOptions options;
    options.sort = args.sort;
    options.lock = args.lock.mode();
    options.progress = progress.hooks();
    auto report = compact(*path, options);
    progress.finish(report.has_value());
    if (!report) return console.fail(report.error());
    if (args.output.json()) {
        console.write(compact_json(args.file, *report));
    } else if (!args.progress.quiet) {
        console.write(compact_text(*report));
    }
    return kExitOk;
}

}  // namespace

void add_compact(CLI::App& app, Console& console) {
    auto args = std::make_shared<CompactArgs>();
    CLI::App& command =
        add_command(app, "compact", "Shrink the file of an unused image to the size of its data",
                    "  qed compact -p disk.qed\n"
                    "Safe to interrupt at any moment; a second run continues.");
    command.add_option("file", args->file, "The image; no other program may use it")
        ->required()
        ->type_name("");
    command.add_flag("--sort", args->sort, "First put the data into the order of the disk");
    add_no_lock_option(command, args->lock);
    add_output_option(command, args->output);
    add_progress_options(command, args->progress);
    on_run(command, console, args, run_compact);
}

}  // namespace qed::cli
