// SPDX-License-Identifier: Apache-2.0
#include "ops/layer_files.hpp"

#include <sys/stat.h>

#include <filesystem>

#include <fmt/format.h>

#include "formats/qed/header_info.hpp"
#include "qed/output_file.hpp"

namespace qed {
namespace {

bool is_same_file(const struct stat& one, const struct stat& other) {
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

}  // namespace

Result<std::vector<LayerFile>> list_chain(const std::string& path, const OpenOptions& options) {
    auto image = Image::open(path, options);
    if (!image) return pass(image);
    std::vector<LayerFile> chain;
    for (Image* layer = image->get(); layer != nullptr; layer = layer->backing()) {
        LayerFile file;
        file.path = layer->file_name();
        file.is_raw = layer->is_raw();
        file.disk_bytes = layer->size();
        file.format = layer->info().format;
        file.backing_name = layer->backing_name();
        if (file.format == "qed") file.header = layer->header();
        chain.push_back(std::move(file));
    }
    return chain;
}

Result<std::size_t> find_in_chain(const std::vector<LayerFile>& chain, const std::string& name) {
    struct stat wanted{};
    const bool exists = ::stat(name.c_str(), &wanted) == 0;
    for (std::size_t i = 1; i < chain.size(); ++i) {
        struct stat status{};
        const bool same_file =
            exists && ::stat(chain[i].path.c_str(), &status) == 0 && is_same_file(status, wanted);
        if (same_file || chain[i - 1].backing_name == name) return i;
    }
    return fail(Errc::not_found,
                fmt::format("'{}' is not in the backing chain of '{}'", name, chain[0].path));
}

Result<void> check_base_format(const Image& base, BackingFormat stated) {
    const LayerInfo info = base.info();
    if (stated != BackingFormat::qcow2 || info.format == "qcow2") return {};
    return fail(Errc::backing_refused,
                fmt::format("'{}' was stated to have format qcow2, and has format {}",
                            base.file_name(), info.format));
}

Result<HeldLayer> hold_layer(const std::string& path, bool is_raw, LockMode lock) {
    // A symbolic link stays one: the file that it leads to is locked.
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(path, error);
    HeldLayer held;
    held.file.path = error ? path : real.string();
    held.file.is_raw = is_raw;
    auto file = open_file(held.file.path, {.writable = true, .lock = lock_role(lock, true)});
    if (!file) return pass(file);
    held.lock = std::move(*file);
    if (is_raw) {
        const auto bytes = held.lock->size();
        if (!bytes) return std::unexpected(bytes.error().clone());
        held.file.disk_bytes = (*bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
        return held;
    }
    Result<HeaderInfo> info = sync_wait(read_header(*held.lock));
    if (!info) return pass(info);
    held.file.disk_bytes = info->header.image_bytes;
    held.file.header = info->header;
    held.file.backing_name = std::move(info->backing_name);
    return held;
}

CreateOptions overlay_options(const LayerFile& like, const std::string& backing_name,
                              bool backing_is_raw, std::uint32_t cluster_bytes) {
    CreateOptions create;
    create.image_bytes = like.disk_bytes;
    if (!like.is_raw) {
        create.cluster_bytes = like.header.cluster_bytes;
        create.table_clusters = like.header.table_clusters;
    }
    if (cluster_bytes != 0) {
        create.cluster_bytes = cluster_bytes;
        create.table_clusters = table_clusters_for(cluster_bytes, like.disk_bytes);
    }
    create.backing_name = backing_name.c_str();
    create.backing_format = backing_is_raw ? BackingFormat::raw : BackingFormat::qed;
    return create;
}

Result<void> replace_with_overlay(HeldLayer held, const std::string& backing_name,
                                  bool backing_is_raw, std::uint32_t cluster_bytes) {
    // No other process can see the file before publish(), which flushes it.
    auto output = OutputFile::replace(held.file.path, std::move(held.lock), {.ignore_flush = true});
    if (!output) return pass(output);
    const CreateOptions create =
        overlay_options(held.file, backing_name, backing_is_raw, cluster_bytes);
    QED_CHECK(sync_wait(Image::format((*output)->file(), create)));
    return (*output)->publish(Durability::content_and_name);
}

}  // namespace qed
