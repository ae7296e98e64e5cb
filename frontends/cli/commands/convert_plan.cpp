// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/convert_plan.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>

#include "cli/commands/convert_stream.hpp"
#include "cli/disks/disk.hpp"
#include "cli/disks/image_path.hpp"
#include "cli/disks/new_disk.hpp"
#include "cli/load/pace.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/backing.hpp"
#include "qed/convert.hpp"
#include "qed/files.hpp"
#include "qed/nbd.hpp"
#include "qed/output_file.hpp"

namespace qed::cli {
namespace {

/// One conversion, with everything parsed and the sources open.
struct Plan {
    std::vector<Disk> disks;
    std::vector<Image*> sources;
    std::uint64_t source_bytes = 0;  ///< of what is copied
    bool begins_behind = false;      ///< the copied part starts past the end of the sources
    std::string target_path;
    std::string format;
    NewDisk new_disk;
    std::vector<std::string> foreign_options;  ///< -o of a format that QEMU writes for us
    CacheMode cache;
    std::uint64_t rate = 0;
    ConvertOptions options;
    BackingPolicy policy;  ///< for the sources, and for a target that is there already
    std::string policy_storage;
};

Result<void> parse_numbers(const ConvertArgs& args, Plan& plan) {
    if (!args.sparse.empty()) {
        auto bytes = parse_size(args.sparse, "-S");
        if (!bytes) return pass(bytes);
        plan.options.sparse_bytes = *bytes;
    }
    // A user who requests a search for zeroes wants the data to be read.
    plan.options.share_blocks = args.share_blocks || args.sparse.empty();
    if (args.share_blocks && !args.sparse.empty()) {
        return fail(Errc::invalid_argument,
                    "-C shares blocks without reading the data, and -S reads it; use one of them");
    }
    if (!args.copies.empty()) {
        auto copies = parse_number(args.copies, "-m", 1, 16);
        if (!copies) return pass(copies);
        plan.options.copies = static_cast<unsigned>(*copies);
    }
    if (!args.rate.empty()) {
        auto rate = parse_size(args.rate, "-r");
        if (!rate) return pass(rate);
        if (*rate == 0) return fail(Errc::invalid_argument, "-r: a rate of 0 would never end");
        plan.rate = *rate;
    }
    auto cache = parse_cache_mode(args.target_cache, "-t");
    if (!cache) return pass(cache);
    plan.cache = *cache;
    return {};
}

Result<void> check_combination(const ConvertArgs& args, const Plan& plan) {
    if (args.target_is_zero && !args.no_create) {
        return fail(Errc::invalid_argument,
                    "--target-is-zero describes an existing target; add -n");
    }
    if (args.no_create && !args.options.empty()) {
        return fail(Errc::invalid_argument,
                    "-o describes a new image, but -n writes into an existing one");
    }
    if (args.no_create && plan.new_disk.backing_name.empty() && !args.backing.empty()) {
        return fail(Errc::invalid_argument, "-B names the backing file of a new image; drop -n");
    }
    if (plan.new_disk.bytes) {
        return fail(Errc::invalid_argument,
                    "-o size: the source gives the size; use qed resize afterwards");
    }
    if (!plan.new_disk.backing_name.empty() && plan.sources.size() > 1) {
        return fail(Errc::invalid_argument, "-B works with one source, not with several");
    }
    return {};
}

Result<void> open_sources(const ConvertArgs& args, Plan& plan) {
    DiskArgs open;
    open.format = args.source_format;
    open.lock = args.lock.mode();
    open.foreign = true;
    auto policy = make_backing_policy(args.source_backing, plan.policy_storage);
    if (!policy) return pass(policy);
    plan.policy = *policy;
    open.backing = *policy;
    auto cache = parse_cache_mode(args.source_cache, "-T");
    if (!cache) return pass(cache);
    open.cache = *cache;
    for (std::size_t i = 0; i + 1 < args.files.size(); ++i) {
        auto disk = open_disk(args.files[i], open);
        if (!disk) return pass(disk);
        plan.source_bytes += disk->image->size();
        plan.sources.push_back(disk->image.get());
        plan.disks.push_back(std::move(*disk));
    }
    plan.begins_behind = args.begin > plan.source_bytes;
    plan.options.begin = args.begin;
    plan.options.length = args.length;
    const std::uint64_t behind =
        plan.source_bytes > args.begin ? plan.source_bytes - args.begin : 0;
    plan.source_bytes = std::min(behind, args.length);
    return {};
}

/// The number of source layers above the target's backing file, if that file is one of the layers.
/// Otherwise, as in qemu-img, the backing file replaces everything below the top layer.
unsigned layers_above(Image& top, const std::string& backing_path) {
    const auto base = open_file(backing_path, {});
    const auto wanted = base ? (*base)->identity() : std::nullopt;
    if (!wanted) return 1;
    unsigned depth = 0;
    for (Image* layer = &top; layer != nullptr; layer = layer->backing(), ++depth) {
        if (depth > 0 && layer->file().identity() == wanted) return depth;
    }
    return 1;
}

/// -U is about the sources: a target is not shared.
LockMode target_lock(const ConvertArgs& args) {
    return args.lock.none ? LockMode::none : LockMode::normal;
}

/// Without this check the lock of the source would blame another process.
Result<void> check_target_is_no_source(const Plan& plan) {
    const auto identity_of = [](const std::string& path) {
        const auto file = open_file(path, {});
        return file ? (*file)->identity() : std::nullopt;
    };
    const auto target = identity_of(plan.target_path);
    if (!target) return {};
    for (const Disk& disk : plan.disks) {
        bool is_source = identity_of(disk.path) == target;
        for (Image* layer = disk.image.get(); layer != nullptr; layer = layer->backing()) {
            is_source = is_source || layer->file().identity() == target;
        }
        if (is_source) {
            return fail(Errc::invalid_argument,
                        fmt::format("'{}' is the source, or a backing file of it; choose another "
                                    "name for the target",
                                    plan.target_path));
        }
    }
    return {};
}

Result<void> plan_stream(const Plan& plan) {
    if (plan.format != "raw" || !plan.new_disk.preallocation.empty()) {
        return fail(Errc::unsupported,
                    fmt::format("'{}' takes bytes in their order only, so it takes a raw disk "
                                "without -o: add -O raw, or choose a file",
                                plan.target_path));
    }
    return {};
}

Result<void> plan_foreign(const ConvertArgs& args, Plan& plan) {
    plan.new_disk.lock = target_lock(args);
    QED_CHECK(check_combination(args, plan));
    if (!args.backing.empty() || !args.backing_format.empty()) {
        return fail(Errc::unsupported,
                    fmt::format("-B: a {} image is written without a backing file; use -O qed",
                                plan.format));
    }
    for (const std::string& list : args.options) {
        if (list.find("subformat") != std::string::npos) {
            return fail(Errc::unsupported,
                        "-o subformat: only the default one, in a single file, is supported");
        }
    }
    plan.foreign_options = args.options;
    return {};
}

Result<void> plan_target(const ConvertArgs& args, Plan& plan) {
    auto path = plain_path(args.files.back());
    if (!path) return pass(path);
    plan.target_path = *path;
    plan.format = args.target_format.empty() ? default_output_format(*path) : args.target_format;
    QED_CHECK(check_target_is_no_source(plan));
    if (is_foreign_format(plan.format)) return plan_foreign(args, plan);
    if (auto known = known_format(plan.format, "-O"); !known) return pass(known);
    auto disk = parse_new_disk(plan.format, args.options);
    if (!disk) return pass(disk);
    plan.new_disk = std::move(*disk);
    QED_CHECK(check_combination(args, plan));
    NewDisk& target = plan.new_disk;
    target.lock = target_lock(args);
    if (!args.backing.empty()) target.backing_name = args.backing;
    if (!args.backing_format.empty()) target.backing_format = args.backing_format;
    target.bytes = plan.source_bytes;
    if (is_stream(plan.target_path)) return plan_stream(plan);
    if (args.no_create) return {};
    if (is_nbd_uri(*path)) {
        return fail(Errc::invalid_argument,
                    "an NBD export exists already; add -n to write into it");
    }
    QED_CHECK(resolve_new_disk(*path, target));
    if (!target.backing_name.empty()) {
        plan.options.copied_layers =
            layers_above(*plan.sources[0], resolve_backing_name(*path, target.backing_name));
    }
    return {};
}

/// How a file can be written that no new file can replace.
std::unexpected<Error> cannot_create(const Plan& plan, Error error) {
    const int code = error.sys_errno();
    const bool cannot_replace = code == EBUSY || code == EACCES || code == EPERM || code == EROFS;
    struct stat status{};
    if (cannot_replace && stat(plan.target_path.c_str(), &status) == 0 &&
        access(plan.target_path.c_str(), W_OK) == 0) {
        error = std::move(error).with_context("add -n to write into the existing file");
    }
    return std::unexpected(std::move(error));
}

Result<ConvertReport> copy_into_image(const Plan& plan, Image& image) {
    auto report = convert(plan.sources, image, plan.options);
    if (!report) return report;
    QED_CHECK(image.flush_blocking());
    QED_CHECK(image.close());
    return report;
}

Result<std::unique_ptr<BlockFile>> open_foreign_target(const Plan& plan,
                                                       std::unique_ptr<ForeignImage>& foreign) {
    ForeignOptions options;
    options.writable = true;
    options.any_backing = plan.policy.rule == BackingRule::any;
    options.cache = cache_mode_name(plan.cache);
    auto image = ForeignImage::open(plan.target_path, plan.format, options);
    if (!image) return pass(image);
    foreign = std::move(*image);
    return foreign->take_file();
}

Result<ConvertReport> write_existing(const ConvertArgs& args, const Plan& plan) {
    DiskArgs open;
    open.format = plan.format;
    open.writable = true;
    open.cache = plan.cache;
    open.lock = target_lock(args);
    open.backing = plan.policy;
    ConvertOptions options = plan.options;
    options.target_is_zero = args.target_is_zero;
    if (plan.format == "qed") {
        auto disk = open_disk(plan.target_path, open);
        if (!disk) return pass(disk);
        Plan into = {};
        into.sources = plan.sources;
        into.options = options;
        return copy_into_image(into, *disk->image);
    }
    std::unique_ptr<ForeignImage> foreign;
    auto file = is_foreign_format(plan.format) ? open_foreign_target(plan, foreign)
                                               : open_locked(plan.target_path, open);
    if (!file) return pass(file);
    auto size = (*file)->size();
    if (!size) return pass(size);
    if (*size < plan.source_bytes) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' has {} bytes, the source {}: make it larger first",
                                plan.target_path, *size, plan.source_bytes));
    }
    auto report = convert_to_raw(plan.sources, **file, options);
    if (!report) return report;
    QED_CHECK((*file)->flush().run_blocking());
    file->reset();
    if (foreign != nullptr) QED_CHECK(foreign->close());
    return report;
}

/// A QED target that cannot be written from its start to its end, because its space is
/// preallocated. A device cannot be preallocated.
Result<ConvertReport> fill_image(Plan& plan, OutputFile& output) {
    QED_CHECK(sync_wait(Image::format(output.file(), create_options(plan.new_disk))));
    OpenOptions open;
    open.writable = true;
    open.order = WriteOrder::ordered;
    auto image = sync_wait(Image::open_file(output.take_file(), nullptr, open));
    if (!image) return pass(image);
    return copy_into_image(plan, **image);
}

Durability durability_of(const Plan& plan) {
    return plan.cache.ignore_flush ? Durability::none : Durability::content_and_name;
}

/// QEMU's programs create and write the file; this function passes the options.
Result<ConvertReport> write_foreign(Plan& plan) {
    auto output = OutputFile::create(plan.target_path,
                                     {.lock = plan.new_disk.lock != LockMode::none, .named = true});
    if (!output) return cannot_create(plan, std::move(output.error()));
    const std::string name = (*output)->working_name();
    QED_CHECK(ForeignImage::create(name, plan.format, plan.foreign_options, plan.source_bytes));
    ForeignOptions options;
    options.writable = true;
    options.cache = "unsafe";  // publish() makes the whole file durable
    auto image = ForeignImage::open(name, plan.format, options);
    if (!image) return pass(image);
    plan.options.target_is_zero = true;
    auto file = (*image)->take_file();
    auto report = convert_to_raw(plan.sources, *file, plan.options);
    if (!report) return report;
    file.reset();
    QED_CHECK((*image)->close());
    QED_CHECK((*output)->publish(durability_of(plan)));
    return report;
}

Result<ConvertReport> write_new(Plan& plan) {
    if (is_foreign_format(plan.format)) return write_foreign(plan);
    if (is_stream(plan.target_path)) {
        QED_CHECK(write_stream(plan.sources, plan.options.begin, plan.source_bytes,
                               plan.target_path, plan.options.progress));
        return ConvertReport{};
    }
    const bool locks = plan.new_disk.lock != LockMode::none;
    auto output = OutputFile::create(plan.target_path, {.direct = plan.cache.direct,
                                                        .sync = plan.cache.sync,
                                                        .ignore_flush = plan.cache.ignore_flush,
                                                        .lock = locks});
    if (!output) return cannot_create(plan, std::move(output.error()));
    BlockFile& file = (*output)->file();
    plan.options.target_is_zero = (*output)->is_new();
    plan.options.write_early = !plan.cache.ignore_flush && !plan.cache.direct;
    const bool preallocates = create_options(plan.new_disk).preallocation != Preallocation::off;
    Result<ConvertReport> report{};
    if (plan.format == "raw") {
        if (preallocates) {
            QED_CHECK(preallocate_raw(file, plan.new_disk.preallocation, 0, *plan.new_disk.bytes));
        }
        auto room = file.size();
        if (!room) return pass(room);
        if (!(*output)->is_new() && *room < plan.source_bytes) {
            return fail(Errc::no_space, fmt::format("device '{}' has {} bytes, the source {}",
                                                    plan.target_path, *room, plan.source_bytes));
        }
        report = convert_to_raw(plan.sources, file, plan.options);
    } else if ((*output)->is_new() && !preallocates) {
        report = convert_to_image(plan.sources, file, create_options(plan.new_disk), plan.options);
    } else {
        report = fill_image(plan, **output);
    }
    if (!report) return report;
    QED_CHECK((*output)->publish(durability_of(plan)));
    return report;
}

void warn_of_unreadable(const ConvertReport& report, Console& console) {
    for (const ConvertReport::Range& range : report.unreadable) {
        console.warn(fmt::format("{} bytes at offset {} could not be read; zeroes were written",
                                 range.length, range.begin));
    }
    if (report.unreadable_bytes > 0) {
        console.warn(fmt::format("{} bytes were lost in all", report.unreadable_bytes));
    }
}

bool wants_option_help(const ConvertArgs& args) {
    return std::ranges::any_of(
        args.options, [](const std::string& list) { return list == "help" || list == "?"; });
}

}  // namespace

int run_convert_command(const ConvertArgs& args, Console& console) {
    if (wants_option_help(args)) {
        const std::string format = args.target_format.empty() ? "raw" : args.target_format;
        console.write(new_disk_options_help(format));
        return kExitOk;
    }
    if (args.files.size() < 2) {
        return console.fail("convert needs a source and a target; see 'qed convert --help'");
    }
    Plan plan;
    if (auto parsed = parse_numbers(args, plan); !parsed) return console.fail(parsed.error());
    if (auto opened = open_sources(args, plan); !opened) return console.fail(opened.error());
    if (plan.begins_behind) {
        console.warn(
            fmt::format("'{}': cannot skip to byte {}, which lies past the end; "
                        "nothing is copied",
                        args.files.front(), args.begin));
    }
    if (auto planned = plan_target(args, plan); !planned) return console.fail(planned.error());

    ProgressArgs shown = args.progress;
    const bool is_stdout = is_standard_output(plan.target_path);
    if (is_stdout) shown.show = shown.json = false;
    ProgressView progress(console, shown);
    Pace pace(progress, plan.rate);
    plan.options.salvage = args.salvage;
    plan.options.out_of_order = args.out_of_order;
    plan.options.progress = pace.hooks();
    auto report = args.no_create && !is_stream(plan.target_path) ? write_existing(args, plan)
                                                                 : write_new(plan);
    progress.finish(report.has_value());
    if (!report) {
        return console.fail(std::move(report.error())
                                .with_context(fmt::format("converting to '{}'", plan.target_path)));
    }
    warn_of_unreadable(*report, console);
    if (!plan.new_disk.backing_name.empty()) warn_about_backing(plan.target_path, console);
    return kExitOk;
}

}  // namespace qed::cli
