// SPDX-License-Identifier: Apache-2.0
#include "qed/snapshot.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "image/backing_survey.hpp"
#include "io/posix/folder.hpp"
#include "ops/layer_files.hpp"
#include "qed/backing.hpp"
#include "qed/output_file.hpp"

namespace qed {
namespace {

class Snapshot {
public:
    Snapshot(HeldLayer held, std::string frozen_path, Folder folder, Folder frozen_folder,
             std::uint32_t cluster_bytes)
        : held_(std::move(held)),
          path_(held_.file.path),
          frozen_path_(std::move(frozen_path)),
          folder_(std::move(folder)),
          frozen_folder_(std::move(frozen_folder)),
          frozen_name_(leaf_of(frozen_path_)),
          backing_name_(backing_name_for(path_, frozen_path_)),
          cluster_bytes_(cluster_bytes) {}

    Result<void> run(unsigned depth_limit) {
        QED_CHECK(check(depth_limit));
        const int linked = ::linkat(folder_.descriptor(), leaf_of(path_).c_str(),
                                    frozen_folder_.descriptor(), frozen_name_.c_str(), 0);
        if (linked == 0) return put_overlay_over_first_name();
        // File systems without hard links report it with these errors.
        if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK) {
            return rename_and_put_overlay();
        }
        const int error = errno;
        return std::unexpected(
            Error::from_errno(error, fmt::format("giving '{}' the name '{}': {}", path_,
                                                 frozen_path_, strerrordesc_np(error))));
    }

private:
    Result<void> check(unsigned depth_limit) const;
    Result<void> put_overlay_over_first_name();
    Result<void> rename_and_put_overlay();

    HeldLayer held_;
    std::string path_;
    std::string frozen_path_;
    Folder folder_;
    Folder frozen_folder_;
    std::string frozen_name_;
    std::string backing_name_;
    std::uint32_t cluster_bytes_;
};

Result<void> Snapshot::check(unsigned depth_limit) const {
    const LayerFile& image = held_.file;
    const auto format = image.is_raw ? BackingFormat::raw : BackingFormat::qed;
    const auto chain = BackingSurvey::of(path_, format, depth_limit + 1);
    if (!chain) return std::unexpected(chain.error().clone());
    QED_CHECK(chain->check_clean());
    QED_CHECK(chain->check_free_of(frozen_path_));
    QED_CHECK(chain->check_depth(path_, depth_limit));
    QED_CHECK(folder_.check_replaceable(leaf_of(path_)));
    // Names in headers are relative to the folder of the file that has the header.
    const bool moves = backing_name_.find('/') != std::string::npos;
    const bool is_relative = !image.backing_name.empty() && !image.backing_name.starts_with('/');
    if (!moves || !is_relative) return {};
    return fail(Errc::invalid_argument,
                fmt::format("'{}' names its own backing file '{}' from its folder; keep '{}' in "
                            "the same folder",
                            path_, image.backing_name, frozen_path_));
}

/// The file has both names: at no moment is one missing.
Result<void> Snapshot::put_overlay_over_first_name() {
    auto synced = frozen_folder_.flush(*held_.lock);
    const bool is_raw = held_.file.is_raw;
    auto done = synced
                    ? replace_with_overlay(std::move(held_), backing_name_, is_raw, cluster_bytes_)
                    : std::move(synced);
    // The second name may be removed only while the first one still leads to the same file.
    std::error_code error;
    if (!done && std::filesystem::equivalent(path_, frozen_path_, error)) {
        ::unlinkat(frozen_folder_.descriptor(), frozen_name_.c_str(), 0);
    }
    return done;
}

/// Without hard links: the overlay is complete and durable before the file gets its new name.
Result<void> Snapshot::rename_and_put_overlay() {
    const CreateOptions create =
        overlay_options(held_.file, backing_name_, held_.file.is_raw, cluster_bytes_);
    const std::string name = leaf_of(path_);
    QED_CHECK(folder_.rename_to_free_name(name, frozen_folder_, frozen_name_));
    auto put = [&]() -> Result<void> {
        QED_CHECK(frozen_folder_.flush(*held_.lock));
        auto output = OutputFile::create(path_, {.ignore_flush = true, .exclusive = true});
        if (!output) return pass(output);
        QED_CHECK(sync_wait(Image::format((*output)->file(), create)));
        return (*output)->publish(Durability::content_and_name);
    };
    auto done = put();
    if (!done) {
        // Rename it back, unless the overlay got its name.
        auto undone = frozen_folder_.rename_to_free_name(frozen_name_, folder_, name);
        if (!undone && undone.error().code() != Errc::already_exists) {
            return std::unexpected(
                std::move(done.error())
                    .with_context(fmt::format("the image is now called '{}'", frozen_path_)));
        }
    }
    return done;
}

}  // namespace

Result<void> snapshot(const std::string& path, const std::string& frozen_path,
                      const SnapshotOptions& options) {
    return without_throwing([&]() -> Result<void> {
        auto held = hold_layer(path, options.format == BackingFormat::raw, options.lock);
        if (!held) return pass(held);
        auto folder = Folder::of(held->file.path);
        if (!folder) return pass(folder);
        auto frozen_folder = Folder::of(frozen_path);
        if (!frozen_folder) return pass(frozen_folder);
        return Snapshot(std::move(*held), frozen_path, std::move(*folder),
                        std::move(*frozen_folder), options.cluster_bytes)
            .run(options.depth_limit);
    });
}

Result<void> revert_to_snapshot(const std::string& path, LockMode lock) {
    return without_throwing([&]() -> Result<void> {
        auto held = hold_layer(path, false, lock);
        if (!held) return pass(held);
        const LayerFile image = held->file;
        if (image.backing_name.empty()) {
            return fail(Errc::invalid_argument,
                        fmt::format("'{}' has no backing file to go back to", image.path));
        }
        return replace_with_overlay(std::move(*held), image.backing_name,
                                    image.header.backing_is_raw());
    });
}

}  // namespace qed
