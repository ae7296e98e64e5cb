// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/check.hpp"

namespace qed::cli {
namespace {

struct ResizeArgs {
    std::string file;
    std::string size;
    std::string format;
    std::string preallocation = "off";
    bool shrink = false;
    bool quiet = false;
    LockArgs lock;
    BackingArgs backing;
};

/// \param unit  the size must be a multiple of it
Result<std::uint64_t> new_size(const std::string& text, std::uint64_t present, std::uint64_t unit) {
    const bool adds = text.starts_with('+');
    const bool takes = text.starts_with('-');
    auto bytes = parse_size(std::string_view(text).substr(adds || takes ? 1 : 0), "size");
    if (!bytes) return pass(bytes);
    std::uint64_t wanted = *bytes;
    if (takes) {
        if (*bytes > present) {
            return fail(
                Errc::invalid_argument,
                fmt::format("the disk has {} bytes, {} cannot be subtracted", present, *bytes));
        }
        wanted = present - *bytes;
    }
    if (adds) wanted = present + *bytes;  // both are below 2^63
    if (wanted % unit != 0 || wanted >= kMaxSize) {
        return fail(
            Errc::invalid_argument,
            fmt::format("the new size of {} bytes is not a multiple of {} below 8E", wanted, unit));
    }
    return wanted;
}

Result<void> check_shrink(const ResizeArgs& args, std::uint64_t present, std::uint64_t wanted) {
    if (wanted >= present || args.shrink) return {};
    return fail(Errc::invalid_argument,
                fmt::format("shrinking from {} to {} bytes deletes all data after the new end; "
                            "pass --shrink to do so",
                            present, wanted));
}

Result<void> resize_raw(const ResizeArgs& args, const std::string& path) {
    DiskArgs open;
    open.writable = true;
    open.lock = args.lock.mode();
    auto file = open_locked(path, open);
    if (!file) return pass(file);
    auto present = (*file)->size();
    if (!present) return pass(present);
    auto wanted = new_size(args.size, *present, 1);  // a file has any length
    if (!wanted) return pass(wanted);
    QED_CHECK(check_shrink(args, *present, *wanted));
    if (*wanted > *present) {
        QED_CHECK(preallocate_raw(**file, args.preallocation, *present, *wanted));
    }
    QED_CHECK((*file)->truncate(*wanted).run_blocking());
    return (*file)->flush().run_blocking();
}

/// Clusters after the new end are leaked: reclaiming them shortens the file.
Result<void> reclaim(const std::string& path, LockMode lock) {
    DiskArgs open;
    open.writable = true;
    open.lock = lock;
    auto file = open_locked(path, open);
    if (!file) return pass(file);
    CheckOptions options;
    options.repair = Repair::leaks;
    options.shortens = true;
    auto report = sync_wait(check_file(**file, options));
    if (!report) return pass(report);
    return {};
}

Result<void> resize_qed(const ResizeArgs& args, const std::string& path) {
    if (args.preallocation != "off") {
        return fail(Errc::unsupported,
                    "--preallocation: a QED image grows without it; create the image with -o "
                    "preallocation and copy into it with convert -n");
    }
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return pass(policy);
    DiskArgs open;
    open.format = "qed";
    open.writable = true;
    open.lock = args.lock.mode();
    open.backing = *policy;
    auto disk = open_disk(path, open);
    if (!disk) return pass(disk);
    Image& image = *disk->image;
    auto wanted = new_size(args.size, image.size(), kSectorBytes);
    if (!wanted) return pass(wanted);
    QED_CHECK(check_shrink(args, image.size(), *wanted));
    const bool shrinks = *wanted < image.size();
    QED_CHECK(image.resize_blocking(*wanted, args.shrink));
    QED_CHECK(image.close());
    disk->image.reset();
    return shrinks ? reclaim(path, args.lock.mode()) : Result<void>{};
}

int run_resize(const ResizeArgs& args, Console& console) {
    auto path = plain_path(args.file);
    if (!path) return console.fail(path.error());
    auto format = args.format.empty() ? probe_format(*path) : known_format(args.format, "-f");
    if (!format) return console.fail(format.error());
    if (*format != "raw" && *format != "qed") {
        return console.fail(known_format(*format, fmt::format("'{}'", *path)).error());
    }
    if (args.format.empty() && *format == "raw") {
        console.warn(
            fmt::format("'{}' has no image header, so it is treated as a raw disk; state "
                        "-f raw to avoid this warning",
                        *path));
    }
    auto done = *format == "raw" ? resize_raw(args, *path) : resize_qed(args, *path);
    if (!done) return console.fail(done.error());
    if (!args.quiet) console.write("Image resized.\n");
    return kExitOk;
}

}  // namespace

void add_resize(CLI::App& app, Console& console) {
    auto args = std::make_shared<ResizeArgs>();
    CLI::App& command =
        add_command(app, "resize", "Change the size of a disk", "  qed resize disk.qed +10G");
    command.add_option("file", args->file, "The image")->required()->type_name("");
    command.add_option("size", args->size, "New size, or the amount to add (+1G) or remove (-1G)")
        ->required()
        ->type_name("");
    command
        .add_option("-f", args->format,
                    "Format: qed or raw; default: the file's first bytes decide")
        ->type_name("FMT");
    command.add_flag("--shrink", args->shrink,
                     "Allow a smaller size: data after the new end is lost");
    command.add_option("--preallocation", args->preallocation, "Raw only: off, falloc, full")
        ->check(CLI::IsMember({"off", "falloc", "full"}))
        ->type_name("MODE");
    command.add_flag("-q,--quiet", args->quiet, "Print errors only");
    add_no_lock_option(command, args->lock);
    add_backing_options(command, args->backing);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_resize);
}

}  // namespace qed::cli
