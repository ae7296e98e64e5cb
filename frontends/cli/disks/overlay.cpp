// SPDX-License-Identifier: Apache-2.0
#include "cli/disks/overlay.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "cli/disks/output_file.hpp"

namespace qed::cli {

Result<std::vector<ChainFile>> list_chain(const std::string& name, const DiskArgs& args) {
    auto disk = open_disk(name, args);
    if (!disk) return pass(disk);
    std::vector<ChainFile> chain;
    for (Image* layer = disk->image.get(); layer != nullptr; layer = layer->backing()) {
        ChainFile file;
        file.path = layer->file_name();
        file.format = layer->is_raw() ? "raw" : "qed";
        file.disk_bytes = layer->size();
        if (!layer->is_raw()) {
            file.header = layer->header();
            file.backing_name = layer->backing_name();
        }
        chain.push_back(std::move(file));
    }
    return chain;
}

Result<std::size_t> find_in_chain(const std::vector<ChainFile>& chain, const std::string& name) {
    struct stat wanted{};
    const bool exists = stat(name.c_str(), &wanted) == 0;
    for (std::size_t i = 1; i < chain.size(); ++i) {
        struct stat status{};
        const bool same_file = exists && stat(chain[i].path.c_str(), &status) == 0 &&
                               status.st_dev == wanted.st_dev && status.st_ino == wanted.st_ino;
        if (same_file || chain[i - 1].backing_name == name) return i;
    }
    return fail(Errc::not_found,
                fmt::format("'{}' is not in the backing chain of '{}'", name, chain[0].path));
}

Result<void> replace_with_overlay(const std::string& path, std::unique_ptr<BlockFile> locked,
                                  const ChainFile& like, const std::string& backing_name,
                                  bool backing_is_raw) {
    auto output = OutputFile::replace(path, CacheMode{}, std::move(locked));
    if (!output) return pass(output);
    CreateOptions create;
    create.image_bytes = like.disk_bytes;
    if (like.format == "qed") {
        create.cluster_bytes = like.header.cluster_bytes;
        create.table_clusters = like.header.table_clusters;
    }
    create.backing_name = backing_name.c_str();
    create.backing_format = backing_is_raw ? BackingFormat::raw : BackingFormat::qed;
    create.check_backing = false;
    QED_CHECK(sync_wait(Image::format((*output)->file(), create)));
    return (*output)->commit(true);
}

}  // namespace qed::cli
