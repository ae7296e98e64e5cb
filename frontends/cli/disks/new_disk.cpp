// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/new_disk.hpp"

#include <bit>

#include "cli/disks/disk.hpp"
#include "cli/terminal/sizes.hpp"
#include "qed/backing.hpp"
#include "qed/output_file.hpp"

namespace qed::cli {
namespace {

Result<std::uint32_t> power_of_two(const std::string& value, const std::string& name,
                                   std::uint64_t lowest, std::uint64_t highest) {
    auto number = parse_size(value, "-o " + name);
    if (!number) return pass(number);
    if (*number < lowest || *number > highest || !std::has_single_bit(*number)) {
        return fail(Errc::invalid_argument,
                    fmt::format("-o {}: {} is not a power of two from {} to {}", name, *number,
                                lowest, highest));
    }
    return static_cast<std::uint32_t>(*number);
}

std::unexpected<Error> unknown_option(const std::string& name, const std::string& format) {
    return fail(Errc::invalid_argument,
                fmt::format("-o: format {} has no option '{}'; -o help lists them", format, name));
}

Result<void> set_preallocation(const std::string& value, NewDisk& disk) {
    const bool is_known = value == "off" || value == "falloc" || value == "full" ||
                          (value == "metadata" && disk.format == "qed");
    if (!is_known) {
        return fail(Errc::invalid_argument,
                    fmt::format("-o preallocation: '{}' is not a mode of format {}; use off, "
                                "{}falloc or full",
                                value, disk.format, disk.format == "qed" ? "metadata, " : ""));
    }
    disk.preallocation = value;
    return {};
}

/// Hints for the file system that libqed does not give: only their neutral value is accepted.
Result<void> accept_neutral(const std::string& name, const std::string& value) {
    if (name == "nocow") {
        auto on = parse_switch(value, "-o nocow");
        if (!on) return pass(on);
        if (!*on) return {};
        return fail(Errc::unsupported,
                    "-o nocow=on is not supported; set it on the folder with chattr +C");
    }
    auto bytes = parse_size(value, "-o extent_size_hint");
    if (!bytes) return pass(bytes);
    if (*bytes == 0) return {};
    return fail(Errc::unsupported,
                "-o extent_size_hint is not supported; set it on the folder with xfs_io extsize");
}

Result<void> set_option(const std::string& name, const std::string& value, NewDisk& disk) {
    if (name == "size") {
        auto bytes = parse_size(value, "-o size");
        if (!bytes) return pass(bytes);
        disk.bytes = *bytes;
        return {};
    }
    if (name == "preallocation") return set_preallocation(value, disk);
    if (name == "nocow" || name == "extent_size_hint") return accept_neutral(name, value);
    if (disk.format != "qed") return unknown_option(name, disk.format);
    if (name == "backing_file") {
        disk.backing_name = value;
    } else if (name == "backing_fmt") {
        disk.backing_format = value;
    } else if (name == "cluster_size") {
        auto bytes = power_of_two(value, name, kMinClusterBytes, kMaxClusterBytes);
        if (!bytes) return pass(bytes);
        disk.cluster_bytes = *bytes;
        disk.cluster_bytes_stated = true;
    } else if (name == "table_size") {
        auto clusters = power_of_two(value, name, 1, kMaxTableClusters);
        if (!clusters) return pass(clusters);
        disk.table_clusters = *clusters;
        disk.table_clusters_stated = true;
    } else {
        return unknown_option(name, disk.format);
    }
    return {};
}

/// The backing file as the header will name it, opened in the folder where it will be looked up.
Result<std::uint64_t> backing_bytes(const std::string& path, const NewDisk& disk) {
    DiskArgs args;
    args.format = disk.backing_format;
    args.open_backing = false;
    args.lock = disk.lock;
    auto base = open_disk(resolve_backing_name(path, disk.backing_name), args);
    if (!base) return std::unexpected(std::move(base.error()).with_context("backing file"));
    return base->image->size();
}

Result<void> check_backing_format(const std::string& path, const NewDisk& disk) {
    if (disk.format != "qed") {
        return fail(Errc::unsupported, "a raw image cannot have a backing file");
    }
    if (disk.backing_format.empty()) {
        std::string found;
        if (auto probed = probe_format(resolve_backing_name(path, disk.backing_name)); probed) {
            found = fmt::format(" (it looks like -F {})", *probed);
        }
        return fail(Errc::invalid_argument,
                    fmt::format("the format of backing file '{}' is not stated; add -F raw, "
                                "-F qed or -F qcow2{}",
                                disk.backing_name, found));
    }
    const auto known = known_base_format(disk.backing_format, "-F");
    if (!known) return std::unexpected(known.error().clone());
    return {};
}

Preallocation preallocation_of(const NewDisk& disk) {
    if (disk.preallocation == "metadata") return Preallocation::metadata;
    if (disk.preallocation == "falloc") return Preallocation::falloc;
    if (disk.preallocation == "full") return Preallocation::full;
    return Preallocation::off;
}

Result<void> create_raw(const std::string& path, const NewDisk& disk) {
    auto output = OutputFile::create(
        path, {.exclusive = disk.exclusive, .lock = disk.lock != LockMode::none});
    if (!output) return pass(output);
    BlockFile& file = (*output)->file();
    // A device keeps its length, and its old content must not show through.
    if (!(*output)->is_new()) QED_CHECK(file.truncate(0).run_blocking());
    QED_CHECK(file.truncate(*disk.bytes).run_blocking());
    QED_CHECK(preallocate_raw(file, disk.preallocation, 0, *disk.bytes));
    return (*output)->publish(Durability::content_and_name);
}

}  // namespace

Result<NewDisk> parse_new_disk(const std::string& format, const std::vector<std::string>& options) {
    auto pairs = parse_key_values(options);
    if (!pairs) return pass(pairs);
    NewDisk disk;
    disk.format = format;
    for (const auto& [name, value] : *pairs) {
        if (auto set = set_option(name, value, disk); !set) return pass(set);
    }
    return disk;
}

Result<void> preallocate_raw(BlockFile& file, std::string_view mode, std::uint64_t begin,
                             std::uint64_t end) {
    if (begin == end || mode.empty() || mode == "off") return {};
    auto allocated = file.allocate(FileOffset{begin}, end - begin).run_blocking();
    // Some file systems reserve space only for bytes that are written.
    if (!allocated && allocated.error().code() != Errc::unsupported) return pass(allocated);
    if (allocated && mode == "falloc") return {};
    const std::vector<std::byte> zeroes(1U << 20U);
    for (std::uint64_t at = begin; at < end; at += zeroes.size()) {
        const std::span<const std::byte> piece(zeroes.data(),
                                               std::min<std::uint64_t>(zeroes.size(), end - at));
        QED_CHECK(file.write(FileOffset{at}, piece).run_blocking());
    }
    return file.flush().run_blocking();
}

std::string new_disk_options_help(const std::string& format) {
    if (format == "raw") {
        return "Supported options:\n"
               "  preallocation=<str>    - off, falloc or full\n"
               "  size=<size>            - Virtual disk size\n";
    }
    return "Supported options:\n"
           "  backing_file=<str>     - File name of a base image\n"
           "  backing_fmt=<str>      - Format of the base image: raw, qed or qcow2\n"
           "  cluster_size=<size>    - Cluster size, a power of two from 4K to 64M\n"
           "  preallocation=<str>    - off, metadata, falloc or full\n"
           "  size=<size>            - Virtual disk size\n"
           "  table_size=<size>      - L1/L2 table size in clusters: 1, 2, 4, 8 or 16\n";
}

Result<void> resolve_new_disk(const std::string& path, NewDisk& disk) {
    if (!disk.backing_name.empty()) {
        if (disk.backing_name.starts_with("file:")) disk.backing_name.erase(0, 5);
        QED_CHECK(check_backing_format(path, disk));
        if (!disk.check_backing && !disk.bytes) {
            return fail(Errc::invalid_argument,
                        "the backing file is not opened (-u), so state the size");
        }
        const auto format = known_base_format(disk.backing_format, "-F");
        if (!format) return std::unexpected(format.error().clone());
        QED_CHECK(check_new_backing(path, resolve_backing_name(path, disk.backing_name), *format,
                                    disk.depth_limit, disk.check_backing));
        if (disk.check_backing) {
            auto bytes = backing_bytes(path, disk);
            if (!bytes) return pass(bytes);
            if (!disk.bytes) disk.bytes = *bytes;
        }
    } else if (!disk.backing_format.empty()) {
        return fail(Errc::invalid_argument, "-F states the format of a backing file; add -b FILE");
    }
    if (!disk.bytes) return fail(Errc::invalid_argument, "state the size of the disk, as 10G");
    disk.bytes = (*disk.bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
    if (disk.format != "qed") return {};
    if (disk.fits_tables) {
        disk.table_clusters = table_clusters_for(disk.cluster_bytes, *disk.bytes);
    }
    auto geometry = Geometry::make(disk.cluster_bytes, disk.table_clusters);
    if (!geometry) return pass(geometry);
    if (*disk.bytes > geometry->max_image_bytes()) {
        return fail(
            Errc::invalid_argument,
            fmt::format("{} bytes are too many for cluster_size={} and table_size={}, at "
                        "most {} ({}); choose larger ones with -o",
                        *disk.bytes, disk.cluster_bytes, disk.table_clusters,
                        geometry->max_image_bytes(), human_size(geometry->max_image_bytes())));
    }
    return {};
}

std::string describe_new_disk(const NewDisk& disk) {
    std::string text = fmt::format("fmt={} size={}", disk.format, *disk.bytes);
    if (!disk.backing_name.empty()) {
        text +=
            fmt::format(" backing_file={} backing_fmt={}", disk.backing_name, disk.backing_format);
    }
    if (disk.format == "qed") text += fmt::format(" cluster_size={}", disk.cluster_bytes);
    if (disk.table_clusters_stated) text += fmt::format(" table_size={}", disk.table_clusters);
    if (!disk.preallocation.empty()) text += fmt::format(" preallocation={}", disk.preallocation);
    return text;
}

std::optional<std::string> compatibility_warning(const NewDisk& disk) {
    if (disk.format != "qed") return std::nullopt;
    if (disk.table_clusters == 1) return "QEMU 7.2 cannot open images with table_size=1";
    // Its maximum size wraps at 64 bits: entries x entries x cluster_size.
    const unsigned cluster_bits = static_cast<unsigned>(std::countr_zero(disk.cluster_bytes));
    const unsigned table_bits = static_cast<unsigned>(std::countr_zero(disk.table_clusters));
    if (2 * (cluster_bits + table_bits - 3) + cluster_bits >= 64) {
        return fmt::format("QEMU 7.2 cannot open images with cluster_size={} and table_size={}",
                           disk.cluster_bytes, disk.table_clusters);
    }
    return std::nullopt;
}

CreateOptions create_options(const NewDisk& disk) {
    CreateOptions options;
    options.image_bytes = disk.bytes.value_or(0);
    options.cluster_bytes = disk.cluster_bytes;
    options.table_clusters = disk.table_clusters;
    if (!disk.backing_name.empty()) {
        options.backing_name = disk.backing_name.c_str();
        // resolve_new_disk() has looked at it.
        options.backing_format =
            known_base_format(disk.backing_format, "-F").value_or(BackingFormat::unstated);
    }
    // resolve_new_disk() has opened it.
    options.check_backing = false;
    options.preallocation = preallocation_of(disk);
    options.exclusive = disk.exclusive;
    options.depth_limit = disk.depth_limit;
    options.lock = disk.lock;
    return options;
}

Result<void> create_disk(const std::string& path, const NewDisk& disk) {
    if (disk.format == "raw") return create_raw(path, disk);
    return Image::create(path, create_options(disk));
}

}  // namespace qed::cli
