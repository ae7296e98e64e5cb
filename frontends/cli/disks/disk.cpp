// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/disk.hpp"

#include <array>
#include <span>

#include "cli/disks/probe.hpp"
#include "qed/files.hpp"
#include "qed/nbd.hpp"
#include "qed/storage.hpp"

namespace qed::cli {
namespace {

FileOptions file_options(const DiskArgs& args) {
    FileOptions options;
    options.writable = args.writable;
    options.direct = args.cache.direct;
    options.sync = args.cache.sync;
    options.ignore_flush = args.cache.ignore_flush;
    options.mapped = args.mapped;
    options.lock = lock_role(args.lock, args.writable);
    return options;
}

OpenOptions image_options(const DiskArgs& args) {
    OpenOptions options;
    options.writable = args.writable;
    options.direct = args.cache.direct;
    options.sync = args.cache.sync;
    options.ignore_flush = args.cache.ignore_flush;
    options.open_backing = args.open_backing;
    options.mapped = args.mapped;
    options.lock = args.lock;
    options.storage = &file_and_nbd_storage();
    options.order = args.order;
    options.backing = args.backing;
    return options;
}

std::unexpected<Error> cannot_open(const std::string& path, Error error) {
    if (error.message().find(path) != std::string::npos) return std::unexpected(std::move(error));
    return std::unexpected(std::move(error).with_context(fmt::format("opening '{}'", path)));
}

}  // namespace

Result<std::string> plain_path(std::string_view name) {
    if (name.empty()) return fail(Errc::invalid_argument, "the name of an image is empty");
    if (name.starts_with("file:")) {
        name.remove_prefix(5);
        return std::string(name);
    }
    if (is_nbd_uri(name)) return std::string(name);
    if (name.starts_with("json:")) {
        return fail(Errc::unsupported,
                    fmt::format("'{}': QEMU's json: names are not supported; give the file's name "
                                "and its format with -f",
                                name));
    }
    // As in qemu-img, a colon before the first slash marks a protocol; ./ at the start makes it a
    // file name.
    const std::size_t colon = name.find(':');
    if (colon != std::string_view::npos && colon < name.find('/')) {
        return fail(Errc::unsupported,
                    fmt::format("'{}': protocol '{}' is not supported, NBD URIs are; write "
                                "./{} if this is a file's name",
                                name, name.substr(0, colon), name));
    }
    return std::string(name);
}

Result<std::string> probe_format(const std::string& path) {
    if (is_nbd_uri(path)) return std::string("raw");
    auto file = open_file(path, FileOptions{});
    if (!file) return cannot_open(path, std::move(file.error()));
    auto bytes = (*file)->size();
    if (!bytes) return cannot_open(path, std::move(bytes.error()));
    std::array<std::byte, kProbedStartBytes> start{};
    std::array<std::byte, kProbedEndBytes> end{};
    auto done = (*file)->read(FileOffset{0}, start).run_blocking();
    if (done && *bytes >= end.size()) {
        done = (*file)->read(FileOffset{*bytes - end.size()}, end).run_blocking();
    }
    if (!done) return cannot_open(path, std::move(done.error()));
    const auto text = [](std::span<const std::byte> of) {
        return std::string_view(reinterpret_cast<const char*>(of.data()), of.size());
    };
    return std::string(format_of(text(start), text(end)));
}

Result<std::string> known_format(std::string_view format, std::string_view option) {
    if (format == "raw" || format == "qed") return std::string(format);
    return fail(
        Errc::unsupported,
        fmt::format("{}: format '{}' is not supported here, only raw and qed", option, format));
}

Result<BackingFormat> known_base_format(std::string_view format, std::string_view option) {
    if (format == "raw") return BackingFormat::raw;
    if (format == "qed") return BackingFormat::qed;
    if (format == "qcow2") return BackingFormat::qcow2;
    return fail(Errc::unsupported,
                fmt::format("{}: a backing file is raw, qed or qcow2, not {}; convert it first",
                            option, format));
}

std::string default_output_format(std::string_view path) {
    return path.ends_with(".qed") && !is_nbd_uri(path) ? "qed" : "raw";
}

Result<std::unique_ptr<BlockFile>> open_locked(const std::string& path, const DiskArgs& args) {
    auto file = file_and_nbd_storage().open(path, file_options(args));
    if (!file) return cannot_open(path, std::move(file.error()));
    return file;
}

namespace {

/// The content of an image that qemu-nbd serves to this program.
Result<std::unique_ptr<BlockFile>> open_foreign(const std::string& path, const DiskArgs& args,
                                                Disk& disk) {
    if (disk.format == "luks") {
        return fail(Errc::unsupported,
                    fmt::format("'{}' is encrypted (LUKS), which is not supported; open it with "
                                "cryptsetup, or state -f raw to copy it as it is",
                                path));
    }
    if (!is_foreign_format(disk.format)) {
        return fail(Errc::unsupported,
                    fmt::format("'{}': there is no format '{}'", path, disk.format));
    }
    if (!args.foreign || is_nbd_uri(path)) {
        return fail(Errc::unsupported,
                    fmt::format("'{}' has format {}: qed convert and qed compare read it, this "
                                "command works on raw and qed only",
                                path, disk.format));
    }
    ForeignOptions options;
    options.writable = args.writable;
    options.shared = args.lock == LockMode::force_shared;
    options.any_backing = args.backing.rule == BackingRule::any;
    options.cache = cache_mode_name(args.cache);
    if (args.lock == LockMode::none) {
        return fail(Errc::unsupported,
                    fmt::format("--no-lock: '{}' has format {}, and QEMU's programs take locks; "
                                "use -U",
                                path, disk.format));
    }
    auto opened = ForeignImage::open(path, disk.format, options);
    if (!opened) return pass(opened);
    disk.foreign = std::move(*opened);
    return disk.foreign->take_file();
}

/// In an image of another format than the user stated, the content is not what the user means.
Result<void> check_stated_format(const Disk& disk) {
    auto found = probe_format(disk.path);
    if (!found) return pass(found);
    // QED says best what is missing where it is stated.
    if (*found == disk.format || (disk.format == "qed" && *found != "qcow2")) return {};
    return fail(Errc::invalid_argument,
                fmt::format("'{}' was stated to have format {}, and has format {}", disk.path,
                            disk.format, *found));
}

}  // namespace

Result<Disk> open_disk(std::string_view name, const DiskArgs& args) {
    auto path = plain_path(name);
    if (!path) return pass(path);
    Disk disk;
    disk.path = *path;
    disk.probed = args.format.empty();
    auto format = disk.probed ? probe_format(*path) : Result<std::string>(args.format);
    if (!format) return pass(format);
    disk.format = *format;
    const bool is_read_natively = *format == "qcow2" && !args.writable;
    if (*format == "qed" || is_read_natively) {
        if (!disk.probed && !is_nbd_uri(*path)) QED_CHECK(check_stated_format(disk));
        auto image = Image::open(*path, image_options(args));
        // What qed does not read itself, such as encrypted images, QEMU's programs may.
        const bool may_be_foreign = is_read_natively && args.foreign && !image &&
                                    image.error().code() == Errc::unsupported_feature;
        if (!image && !may_be_foreign) return cannot_open(*path, std::move(image.error()));
        if (image) {
            disk.image = std::move(*image);
            return disk;
        }
    }
    auto file = *format == "raw" ? open_locked(*path, args) : open_foreign(*path, args, disk);
    if (!file) return pass(file);
    auto image = Image::open_raw(std::move(*file));
    if (!image) return cannot_open(*path, std::move(image.error()));
    disk.image = std::move(*image);
    return disk;
}

}  // namespace qed::cli
