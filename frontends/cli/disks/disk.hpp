// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cli/disks/foreign.hpp"
#include "cli/terminal/options.hpp"
#include "qed/image.hpp"

namespace qed::cli {

/// A file name as a user gives it. `file:` at its start is dropped; NBD URIs stay unchanged;
/// `json:` and unsupported protocols are refused by name.
Result<std::string> plain_path(std::string_view name);

/// The format of a file by its first bytes: qed, qcow2, vmdk ... or raw.
/// An NBD export is raw unless its user states a format: a guest chooses its content.
Result<std::string> probe_format(const std::string& path);

/// `raw` or `qed` when the text names one of them; an error that says what to do for others.
Result<std::string> known_format(std::string_view format, std::string_view option);
/// The format of a backing file: raw, qed or qcow2.
Result<BackingFormat> known_base_format(std::string_view format, std::string_view option);
/// The format for a new file when none is stated: qed for names that end in `.qed`, else raw.
std::string default_output_format(std::string_view path);

struct DiskArgs {
    std::string format;  ///< empty: by its first bytes
    bool writable = false;
    bool foreign = false;  ///< also accept formats that QEMU's programs read
    LockMode lock = LockMode::normal;
    bool open_backing = true;
    bool mapped = false;  ///< reads of files opened read-only use a mapping
    CacheMode cache;
    BackingPolicy backing;
    WriteOrder order = WriteOrder::automatic;
};

/// A disk that a command works on.
struct Disk {
    std::unique_ptr<ForeignImage> foreign;  ///< serves `image`, so it goes after it
    std::unique_ptr<Image> image;
    std::string path;
    std::string format;
    bool probed = false;  ///< the user did not state the format
};

/// Opens a disk with its locks.
Result<Disk> open_disk(std::string_view name, const DiskArgs& args);
/// A raw file or a whole image file, locked; not as an Image.
Result<std::unique_ptr<BlockFile>> open_locked(const std::string& path, const DiskArgs& args);

}  // namespace qed::cli
