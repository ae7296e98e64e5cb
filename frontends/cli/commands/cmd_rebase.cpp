// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <memory>
#include <optional>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/terminal/progress.hpp"
#include "cli/terminal/sizes.hpp"
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
    BackingArgs backing;
    ProgressArgs progress;
};

Result<void> check_args(const RebaseArgs& args) {
    if (!args.base) {
        return fail(Errc::invalid_argument, "name the new backing file with -b; -b '' for none");
    }
    const bool has_base = !args.base->empty();
    if (has_base && args.base_format.empty()) {
        return fail(Errc::invalid_argument,
                    fmt::format("state the format of '{}': -F raw or -F qed", *args.base));
    }
    if (has_base) {
        if (auto known = known_format(args.base_format, "-F"); !known) return pass(known);
    }
    if (!args.format.empty() && args.format != "qed") {
        return fail(Errc::unsupported,
                    fmt::format("-f: an image of format {} has no backing file that qed can change",
                                args.format));
    }
    return {};
}

Result<Disk> open_overlay(const RebaseArgs& args, const BackingPolicy& policy) {
    auto cache = parse_cache_mode(args.cache, "-t");
    if (!cache) return pass(cache);
    DiskArgs open;
    open.format = "qed";
    open.writable = true;
    open.open_backing = !args.unsafe;
    open.backing = policy;
    open.cache = *cache;
    // One flush at the end makes all of it durable; a kill before that leaves the old backing file.
    open.order = WriteOrder::deferred;
    return open_disk(args.file, open);
}

Result<Disk> open_base(const RebaseArgs& args, const std::string& overlay_path,
                       const BackingPolicy& policy) {
    const std::string path = resolve_backing_name(overlay_path, *args.base);
    struct stat overlay{};
    struct stat base{};
    if (stat(overlay_path.c_str(), &overlay) == 0 && stat(path.c_str(), &base) == 0 &&
        overlay.st_dev == base.st_dev && overlay.st_ino == base.st_ino) {
        return fail(Errc::invalid_argument, "an image cannot be its own backing file");
    }
    auto cache = parse_cache_mode(args.source_cache, "-T");
    if (!cache) return pass(cache);
    DiskArgs open;
    open.format = args.base_format;
    open.backing = policy;
    open.cache = *cache;
    auto disk = open_disk(path, open);
    if (!disk) return std::unexpected(std::move(disk.error()).with_context("new backing file"));
    return disk;
}

/// Refuses before the first write what would fill the file system.
Result<void> check_room(Image& overlay, Image* base) {
    struct statvfs room{};
    if (fstatvfs(overlay.file().descriptor(), &room) != 0) return {};
    const std::uint64_t free_bytes = std::uint64_t{room.f_bavail} * room.f_frsize;
    if (free_bytes / 2 > overlay.size()) return {};
    RebaseOptions options;
    options.dry_run = true;
    auto need = prepare_rebase(overlay, base, options);
    if (!need) return pass(need);
    if (need->needed_bytes <= free_bytes) return {};
    return fail(Errc::no_space,
                fmt::format("the image would grow by up to {}, but its file system has {} free; "
                            "nothing was changed",
                            human_size(need->needed_bytes), human_size(free_bytes)));
}

Result<void> move_content(const RebaseArgs& args, Image& overlay, Image* base, Console& console) {
    QED_CHECK(check_room(overlay, base));
    Progress progress(console, args.progress);
    RebaseOptions options;
    options.progress = Progress::callback;
    options.progress_context = &progress;
    auto report = prepare_rebase(overlay, base, options);
    progress.finish(report.has_value());
    if (!report) return pass(report);
    return {};
}

int run_rebase(const RebaseArgs& args, Console& console) {
    if (auto checked = check_args(args); !checked) return console.fail(checked.error());
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    auto overlay = open_overlay(args, *policy);
    if (!overlay) return console.fail(overlay.error());
    Image& image = *overlay->image;
    const bool has_base = !args.base->empty();
    if (!args.unsafe) {
        Disk base;
        if (has_base) {
            auto opened = open_base(args, overlay->path, *policy);
            if (!opened) return console.fail(opened.error());
            base = std::move(*opened);
        }
        auto moved = move_content(args, image, base.image.get(), console);
        if (!moved) return console.fail(moved.error());
    }
    // Makes what was copied durable before the old backing file is forgotten.
    const BackingFormat format =
        args.base_format == "raw" ? BackingFormat::raw : BackingFormat::qed;
    auto named = image.set_backing_name_blocking(has_base ? args.base->c_str() : nullptr,
                                                 has_base ? format : BackingFormat::unstated);
    if (!named) return console.fail(named.error());
    if (auto closed = image.close(); !closed) return console.fail(closed.error());
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
    command.add_option("-F", args->base_format, "Format of it: raw or qed")->type_name("FMT");
    command.add_flag("-u", args->unsafe, "Only change the name: the content is known to match");
    command.add_option("-f", args->format, "Format of the image: qed")->type_name("FMT");
    command.add_option("-t", args->cache, "Cache mode of the image")->type_name("MODE");
    command.add_option("-T", args->source_cache, "Cache mode of the new backing file")
        ->type_name("MODE");
    add_backing_options(command, args->backing);
    add_progress_options(command, args->progress);
    refuse_flag(command, "-U,--force-share", "rebase writes the image, so nobody else may use it");
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_rebase);
}

}  // namespace qed::cli
