// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/image_path.hpp"

#include "cli/disks/disk.hpp"
#include "qed/backing.hpp"
#include "qed/nbd.hpp"

namespace qed::cli {
namespace {

Result<std::string> file_path(std::string_view name) {
    auto path = plain_path(name);
    if (!path) return path;
    if (is_nbd_uri(*path)) {
        return fail(Errc::unsupported,
                    fmt::format("'{}': this works on files, not on NBD exports", *path));
    }
    return path;
}

}  // namespace

Result<std::string> qed_image_path(std::string_view name, std::string_view format) {
    auto path = file_path(name);
    if (!path) return path;
    auto found = format.empty() ? probe_format(*path) : Result<std::string>(format);
    if (!found) return pass(found);
    if (*found == "qed") return path;
    return fail(Errc::unsupported,
                fmt::format("'{}' has format {}, and this works on QED images", *path, *found));
}

Result<std::string> base_path(std::string_view name, std::string_view format) {
    if (!format.empty()) {
        if (auto known = known_base_format(format, "-f"); !known) return pass(known);
        return file_path(name);
    }
    auto path = file_path(name);
    if (!path) return path;
    auto found = probe_format(*path);
    if (!found) return pass(found);
    if (*found == "qed") return path;
    if (*found == "qcow2") {
        return fail(
            Errc::invalid_argument,
            fmt::format("'{}' looks like a qcow2 image; if it is one, say -f qcow2", *path));
    }
    return fail(Errc::invalid_argument,
                fmt::format("'{}' looks like no QED image; if it is a raw disk, say -f raw: a QED "
                            "image then lies over it",
                            *path));
}

void warn_about_backing(const std::string& image_path, Console& console) {
    const auto summary = summarize_backing(image_path);
    if (!summary || summary->name.empty()) return;
    if (summary->leaves_folder) {
        console.warn(
            fmt::format("'{}' lies outside of the folder of '{}': commands open it with "
                        "--backing any or --backing dir:PATH only",
                        summary->name, image_path));
    }
    if (summary->layers > kLongChain) {
        console.warn(
            fmt::format("'{}' has {} backing files below it, and every open reads them "
                        "all; 'qed rebase' to a lower one shortens the chain",
                        image_path, summary->layers));
    }
}

}  // namespace qed::cli
