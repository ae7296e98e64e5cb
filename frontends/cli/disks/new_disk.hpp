// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "qed/image.hpp"

namespace qed::cli {

/// A new disk, as create and convert describe it with -o, -b and a size.
struct NewDisk {
    std::string format;
    std::optional<std::uint64_t> bytes;
    std::uint32_t cluster_bytes = kDefaultClusterBytes;
    std::uint32_t table_clusters = kDefaultTableClusters;
    bool cluster_bytes_stated = false;
    bool table_clusters_stated = false;
    bool fits_tables = false;  ///< more table clusters if the size of the disk needs them
    std::string backing_name;
    std::string backing_format;  ///< raw or qed
    std::string preallocation;   ///< empty: off
    bool check_backing = true;
    bool exclusive = false;
    unsigned depth_limit = kDefaultBackingDepth;
    LockMode lock = LockMode::normal;  ///< for the backing file, and for a file that is replaced
};

/// From `-o` lists. \errors invalid_argument, unsupported
Result<NewDisk> parse_new_disk(const std::string& format, const std::vector<std::string>& options);
/// The output of `-o help`.
std::string new_disk_options_help(const std::string& format);

/// Checks that everything needed is stated, takes a missing size from the backing file, and rounds
/// the size up to whole sectors.
Result<void> resolve_new_disk(const std::string& path, NewDisk& disk);
/// A description such as `fmt=qed size=1073741824 cluster_size=65536`, as qemu-img prints it.
std::string describe_new_disk(const NewDisk& disk);
/// A warning if QEMU 7.2 cannot open an image of this geometry.
std::optional<std::string> compatibility_warning(const NewDisk& disk);
/// The options for Image::create; they point into `disk`.
CreateOptions create_options(const NewDisk& disk);

/// Creates the disk, and replaces an existing file at `path` unless `exclusive`.
Result<void> create_disk(const std::string& path, const NewDisk& disk);

/// Reserves (falloc) or fills (full) the space of a raw file from `begin` to `end`.
Result<void> preallocate_raw(BlockFile& file, std::string_view mode, std::uint64_t begin,
                             std::uint64_t end);

}  // namespace qed::cli
