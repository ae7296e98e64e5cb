// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/commands/commands.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/overlay.hpp"
#include "cli/load/pace.hpp"
#include "cli/terminal/progress.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/convert.hpp"
#include "qed/files.hpp"

namespace qed::cli {
namespace {

struct CommitArgs {
    std::string file;
    std::string format;
    std::string cache = "writeback";
    std::string base;
    std::string rate;
    bool keep = false;
    BackingArgs backing;
    ProgressArgs progress;
};

/// The layers that are committed, locked, and the one that takes them.
struct Commit {
    std::vector<ChainFile> chain;
    std::size_t base_index = 1;
    std::vector<std::unique_ptr<BlockFile>> locks;  ///< of the layers above the base
    std::shared_ptr<Image> top;
    std::unique_ptr<Image> base;
};

/// Opens the layers above the base as a chain that ends there. Locks are held by files of their
/// own: they outlive the images.
Result<void> open_layers(Commit& commit) {
    std::shared_ptr<Image> below;
    for (std::size_t i = commit.base_index; i-- > 0;) {
        const ChainFile& layer = commit.chain[i];
        DiskArgs args;
        args.writable = i == 0;
        auto lock = open_locked(layer.path, args);
        if (!lock) return pass(lock);
        commit.locks.push_back(std::move(*lock));
        auto file = open_file(layer.path, FileOptions{});
        if (!file) return pass(file);
        OpenOptions options;
        auto image = sync_wait(Image::open_file(std::move(*file), below, options));
        if (!image) return pass(image);
        // Locked only now: what was planned has to hold still.
        if ((*image)->backing_name() != layer.backing_name ||
            (*image)->size() != layer.disk_bytes) {
            return fail(Errc::locked,
                        fmt::format("'{}' was changed by another program at this moment; try "
                                    "again",
                                    layer.path));
        }
        if ((*image)->header().needs_check()) {
            return fail(Errc::needs_check,
                        fmt::format("'{}' was not closed cleanly; run 'qed check -r all' first",
                                    layer.path));
        }
        below = std::move(*image);
    }
    commit.top = std::move(below);
    return {};
}

Result<void> open_base(Commit& commit, const BackingPolicy& policy, CacheMode cache) {
    const ChainFile& base = commit.chain[commit.base_index];
    DiskArgs args;
    args.format = base.format;
    args.writable = true;
    args.backing = policy;
    args.cache = cache;
    // One flush at the end makes all of it durable; until then the overlay has it, too.
    args.order = WriteOrder::deferred;
    const std::uint64_t wanted = commit.chain[0].disk_bytes;
    if (base.format == "raw") {
        auto file = open_locked(base.path, args);
        if (!file) return pass(file);
        auto bytes = (*file)->size();
        if (!bytes) return pass(bytes);
        if (*bytes < wanted) QED_CHECK((*file)->truncate(wanted).run_blocking());
        auto image = Image::open_raw(std::move(*file));
        if (!image) return pass(image);
        commit.base = std::move(*image);
        return {};
    }
    auto disk = open_disk(base.path, args);
    if (!disk) return pass(disk);
    commit.base = std::move(disk->image);
    if (commit.base->size() < wanted) QED_CHECK(commit.base->resize_blocking(wanted));
    return {};
}

Result<void> plan_commit(const CommitArgs& args, const BackingPolicy& policy, Commit& commit) {
    DiskArgs open;
    open.format = args.format;
    open.backing = policy;
    auto chain = list_chain(args.file, open);
    if (!chain) return pass(chain);
    commit.chain = std::move(*chain);
    if (commit.chain.size() < 2) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' does not have a backing file", args.file));
    }
    if (args.base.empty()) return {};
    auto index = find_in_chain(commit.chain, args.base);
    if (!index) return pass(index);
    commit.base_index = *index;
    return {};
}

Result<void> copy_down(const CommitArgs& args, Commit& commit, const CacheMode& cache,
                       std::uint64_t rate, Console& console) {
    Progress progress(console, args.progress);
    Pace pace(progress, rate);
    ConvertOptions options;
    options.copied_layers = static_cast<unsigned>(commit.base_index);
    options.write_early = !cache.ignore_flush && !cache.direct;
    options.progress = Pace::callback;
    options.progress_context = &pace;
    Image* const source = commit.top.get();
    auto report = convert(std::span<Image* const>(&source, 1), *commit.base, options);
    progress.finish(report.has_value());
    if (!report) return pass(report);
    return commit.base->close();  // which makes it durable
}

/// The overlay holds nothing any more that its backing file does not: an empty one does as well.
Result<void> empty_overlay(Commit& commit) {
    const ChainFile& top = commit.chain[0];
    commit.top.reset();
    return replace_with_overlay(top.path, std::move(commit.locks.back()), top, top.backing_name,
                                top.header.backing_is_raw());
}

int run_commit(const CommitArgs& args, Console& console) {
    std::string storage;
    auto policy = make_backing_policy(args.backing, storage);
    if (!policy) return console.fail(policy.error());
    auto cache = parse_cache_mode(args.cache, "-t");
    if (!cache) return console.fail(cache.error());
    auto rate = args.rate.empty() ? Result<std::uint64_t>(0) : parse_size(args.rate, "-r");
    if (!rate) return console.fail(rate.error());
    Commit commit;
    if (auto done = plan_commit(args, *policy, commit); !done) return console.fail(done.error());
    if (auto done = open_layers(commit); !done) return console.fail(done.error());
    if (auto done = open_base(commit, *policy, *cache); !done) return console.fail(done.error());
    if (auto done = copy_down(args, commit, *cache, *rate, console); !done)
        return console.fail(done.error());
    if (commit.base_index == 1 && !args.keep) {
        if (auto done = empty_overlay(commit); !done) return console.fail(done.error());
    }
    for (std::size_t i = 1; i < commit.base_index; ++i) {
        console.warn(fmt::format("'{}' lies between; on its own it now shows changed content",
                                 commit.chain[i].path));
    }
    if (!args.progress.quiet) console.write("Image committed.\n");
    return kExitOk;
}

}  // namespace

void add_commit(CLI::App& app, Console& console) {
    auto args = std::make_shared<CommitArgs>();
    CLI::App& command = add_command(
        app, "commit", "Write what an overlay holds into its backing file, and empty it",
        "  qed commit -p clone.qed\n"
        "Other overlays of the same backing file see changed content below them.");
    command.add_option("file", args->file, "The overlay")->required()->type_name("");
    command.add_option("-b", args->base, "Commit down to this file of the chain; implies -d")
        ->type_name("FILE");
    command.add_flag("-d", args->keep, "Do not empty the overlay");
    command.add_option("-f", args->format, "Format of the overlay: qed")->type_name("FMT");
    command.add_option("-t", args->cache, "Cache mode of the backing file")->type_name("MODE");
    command.add_option("-r", args->rate, "At most this many bytes a second")->type_name("SIZE");
    add_backing_options(command, args->backing);
    add_progress_options(command, args->progress);
    refuse_objects(command);
    refuse_image_opts(command);
    on_run(command, console, args, run_commit);
}

}  // namespace qed::cli
