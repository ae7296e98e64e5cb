// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <span>
#include <thread>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/reports/map_picture.hpp"
#include "cli/reports/map_print.hpp"
#include "cli/serve/sandbox_option.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/output_file.hpp"

namespace qed::cli {
namespace {

constexpr unsigned kMaxThreads = 4;  // more threads would only wait for their turn to print

struct MapArgs {
    std::string file;
    std::string format;
    std::string start;
    std::string length;
    std::string html;
    std::string svg;
    LockArgs lock;
    OutputArgs output;
    BackingArgs backing;
    SandboxArgs sandbox;
};

Result<MapRange> range_of(const MapArgs& args, std::uint64_t disk_bytes) {
    MapRange range{0, disk_bytes};
    if (!args.start.empty()) {
        auto start = parse_size(args.start, "--start-offset");
        if (!start) return pass(start);
        range.begin = *start;
    }
    if (!args.length.empty()) {
        auto length = parse_size(args.length, "--max-length");
        if (!length) return pass(length);
        // Neither exceeds 2^63, so the sum fits.
        range.end = std::min(disk_bytes, range.begin + *length);
    }
    // Past the end there is nothing to show, which is no error, as for qemu-img.
    range.begin = std::min(range.begin, disk_bytes);
    range.end = std::max(range.begin, range.end);
    return range;
}

/// A picture's file, or standard output for `-`; opened before the sandbox closes.
struct PictureFile {
    const std::string& path;
    std::unique_ptr<OutputFile> output = nullptr;

    bool is_wanted() const { return !path.empty(); }
    Result<void> open(std::vector<std::string>& folders) {
        if (!is_wanted() || path == "-") return {};
        auto created = OutputFile::create(path);
        if (!created) return pass(created);
        output = std::move(*created);
        folders.push_back(output->directory());
        return {};
    }
    Result<void> write(const std::string& text, Console& console) {
        if (output == nullptr) {
            console.write(text);
            return {};
        }
        BlockFile& file = output->file();
        QED_CHECK(file.write(FileOffset{0}, std::as_bytes(std::span(text))).run_blocking());
        return output->publish(Durability::none);
    }
};

Result<void> write_pictures(const MapArgs& args, Image& image, Console& console) {
    PictureFile html{args.html};
    PictureFile svg{args.svg};
    std::vector<std::string> folders;
    QED_CHECK(html.open(folders));
    QED_CHECK(svg.open(folders));
    QED_CHECK(enter_sandbox(args.sandbox, std::move(folders)));
    auto picture = draw_map(image);
    if (!picture) return pass(picture);
    if (html.is_wanted()) QED_CHECK(html.write(map_html(*picture), console));
    if (svg.is_wanted()) QED_CHECK(svg.write(map_svg(*picture), console));
    return {};
}

int run_map(const MapArgs& args, Console& console) {
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    DiskArgs open;
    open.format = args.format;
    open.lock = args.lock.mode();
    open.backing = *policy;
    auto disk = open_disk(args.file, open);
    if (!disk) return console.fail(disk.error());
    if (!args.html.empty() || !args.svg.empty()) {
        auto done = write_pictures(args, *disk->image, console);
        return done ? kExitOk : console.fail(done.error());
    }
    // Inside the sandbox the number of processors cannot be read.
    const MapPrinting how{args.output.json(),
                          std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads)};
    if (auto closed = enter_sandbox(args.sandbox); !closed) return console.fail(closed.error());
    auto range = range_of(args, disk->image->size());
    if (!range) return console.fail(range.error());

    auto done = print_map(*disk->image, *range, how, console);
    if (!done) return console.fail(done.error());
    return kExitOk;
}

}  // namespace

void add_map(CLI::App& app, Console& console) {
    auto args = std::make_shared<MapArgs>();
    CLI::App& command = add_command(app, "map", "Show where the data of a disk is",
                                    "  qed map --output=json clone.qed\n"
                                    "  qed map --html report.html clone.qed");
    command.add_option("file", args->file, "The image")->required()->type_name("");
    command
        .add_option("-f", args->format,
                    "Format: qed, qcow2 or raw; default: the file's first bytes decide")
        ->type_name("FMT");
    command.add_option("-s,--start-offset", args->start, "First byte of the disk to show")
        ->type_name("SIZE");
    command.add_option("-l,--max-length", args->length, "The most bytes to show")
        ->type_name("SIZE");
    add_output_option(command, args->output);
    command.add_option("--html", args->html, "Write a page with pictures instead; - prints it")
        ->type_name("FILE");
    command.add_option("--svg", args->svg, "Write a picture of the disk instead")
        ->type_name("FILE");
    add_lock_options(command, args->lock);
    add_backing_options(command, args->backing);
    add_sandbox_option(command, args->sandbox);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_map);
}

}  // namespace qed::cli
