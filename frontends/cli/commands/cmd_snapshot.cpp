// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/disks/overlay.hpp"

namespace qed::cli {
namespace {

struct SnapshotArgs {
    std::string file;
    std::string base;
    std::string format;
    bool revert = false;
    bool quiet = false;
};

std::unexpected<Error> failed(int error, const std::string& message) {
    return std::unexpected(
        Error::from_errno(error, fmt::format("{}: {}", message, std::strerror(error))));
}

Result<void> sync_folder(const std::string& path) {
    const std::filesystem::path parent = std::filesystem::path(path).parent_path();
    const std::string folder = parent.empty() ? "." : parent.string();
    const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return failed(errno, fmt::format("opening folder '{}'", folder));
    const int synced = fsync(descriptor);
    const int error = errno;
    close(descriptor);
    if (synced == 0 || error == EINVAL) return {};
    return failed(error, fmt::format("writing folder '{}' to the disk", folder));
}

/// The image, with its lock held by a file of its own.
struct Held {
    ChainFile image;
    std::unique_ptr<BlockFile> lock;
};

Result<Held> hold(const SnapshotArgs& args) {
    auto given = plain_path(args.file);
    if (!given) return pass(given);
    // A link stays one: what it leads to is frozen.
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(*given, error);
    const Result<std::string> path = error ? *given : real.string();
    DiskArgs write;
    write.writable = true;
    auto lock = open_locked(*path, write);
    if (!lock) return pass(lock);
    DiskArgs look;
    look.format = args.format;
    look.open_backing = false;
    look.lock = LockMode::force_shared;  // beside our own lock
    auto chain = list_chain(*path, look);
    if (!chain) return pass(chain);
    Held held{std::move(chain->front()), std::move(*lock)};
    if (held.image.format != "qed" && args.format.empty()) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' looks like no QED image; if it is a raw disk, say -f raw: "
                                "'{}' becomes a QED image over it",
                                *path, *path));
    }
    return held;
}

/// Gives the image a second name, then puts an overlay in place of the first. Between the two steps
/// both names are the whole image: nothing is ever missing.
Result<void> freeze(const SnapshotArgs& args) {
    auto held = hold(args);
    if (!held) return pass(held);
    const std::string& path = held->image.path;
    if (held->image.header.needs_check()) {
        return fail(Errc::needs_check,
                    fmt::format("'{}' was not closed cleanly, and nobody repairs a backing file; "
                                "run 'qed check -r all' first",
                                path));
    }
    // Names in headers are looked up from the folder of the file that has the header.
    const bool moves = backing_name_from(path, args.base).find('/') != std::string::npos;
    const bool is_relative =
        !held->image.backing_name.empty() && !held->image.backing_name.starts_with('/');
    if (moves && is_relative) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' names its own backing file '{}' from its folder; keep '{}' "
                                "in the same folder",
                                path, held->image.backing_name, args.base));
    }
    if (linkat(AT_FDCWD, path.c_str(), AT_FDCWD, args.base.c_str(), 0) != 0) {
        return failed(errno, fmt::format("giving '{}' the name '{}'", path, args.base));
    }
    std::error_code error;
    auto synced = sync_folder(args.base);
    const std::string name = backing_name_from(path, args.base);
    auto done = synced ? replace_with_overlay(path, std::move(held->lock), held->image, name,
                                              held->image.format == "raw")
                       : std::move(synced);
    // The second name may go again only while the first one still leads to the same file.
    if (!done && std::filesystem::equivalent(path, args.base, error)) unlink(args.base.c_str());
    return done;
}

/// Puts an empty overlay in place of the present one.
Result<void> revert(const SnapshotArgs& args) {
    auto held = hold(args);
    if (!held) return pass(held);
    const ChainFile image = held->image;
    if (image.backing_name.empty()) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' has no backing file to go back to", image.path));
    }
    return replace_with_overlay(image.path, std::move(held->lock), image, image.backing_name,
                                image.header.backing_is_raw());
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
    auto done = args.revert ? revert(args) : freeze(args);
    if (!done) return console.fail(done.error());
    if (args.quiet) return kExitOk;
    if (args.revert) {
        console.print("'{}' is back at its snapshot.\n", args.file);
    } else {
        console.print("'{}' keeps the present state; '{}' goes on over it.\n", args.base,
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
    command.add_option("file", args->file, "The image; nobody may use it meanwhile")
        ->required()
        ->type_name("");
    command.add_option("base", args->base, "New name of the present state")->type_name("");
    command.add_flag("--revert", args->revert, "Drop what the image holds over its backing file");
    command.add_option("-f", args->format, "Format of the image: qed or raw")->type_name("FMT");
    command.add_flag("-q,--quiet", args->quiet, "Print errors only");
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
