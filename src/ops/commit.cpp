// SPDX-License-Identifier: Apache-2.0
#include "qed/commit.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <span>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "io/posix/folder.hpp"
#include "ops/layer_files.hpp"
#include "qed/convert.hpp"

namespace qed {
namespace {

class Commit {
public:
    explicit Commit(const CommitOptions& options) : options_(options) {}

    Result<CommitReport> run(const std::string& path) {
        QED_CHECK(plan(path));
        QED_CHECK(check_formats());
        if (empties_overlay()) QED_CHECK(check_overlay());
        QED_CHECK(open_layers());
        QED_CHECK(open_base());
        QED_CHECK(copy_down());
        if (empties_overlay()) QED_CHECK(empty_overlay());
        report_.base_path = chain_[base_index_].path;
        for (std::size_t i = 1; i < base_index_; ++i)
            report_.changed_layers.push_back(chain_[i].path);
        return std::move(report_);
    }

private:
    Result<void> plan(const std::string& path);
    /// That both ends of the copy can be written to.
    Result<void> check_formats() const;
    bool empties_overlay() const { return base_index_ == 1 && !options_.keep_overlay; }
    /// That an empty overlay can take the place of this one, before any data is copied.
    Result<void> check_overlay() const;
    Result<void> open_layers();
    Result<std::unique_ptr<Image>> open_layer(const LayerFile& layer, bool is_top,
                                              std::shared_ptr<Image> below);
    Result<void> open_base();
    Result<void> copy_down();
    Result<void> empty_overlay();

    const CommitOptions& options_;
    std::vector<LayerFile> chain_;
    std::size_t base_index_ = 1;
    /// Locks on the layers above the base. They are separate objects because they outlive the
    /// images.
    std::vector<std::unique_ptr<BlockFile>> locks_;
    std::shared_ptr<Image> top_;
    std::unique_ptr<Image> base_;
    CommitReport report_;
};

Result<void> Commit::plan(const std::string& path) {
    OpenOptions open;
    open.backing = options_.backing;
    open.backing.depth_limit = kMaxBackingDepth;
    open.lock = options_.lock;
    auto chain = list_chain(path, open);
    if (!chain) return pass(chain);
    chain_ = std::move(*chain);
    if (chain_.size() < 2) {
        return fail(Errc::invalid_argument, fmt::format("'{}' does not have a backing file", path));
    }
    if (options_.base == nullptr) return {};
    auto index = find_in_chain(chain_, options_.base);
    if (!index) return pass(index);
    base_index_ = *index;
    return {};
}

Result<void> Commit::check_formats() const {
    const LayerFile& base = chain_[base_index_];
    if (!base.is_raw && base.format != "qed") {
        return fail(Errc::unsupported,
                    fmt::format("'{}' has format {}, which is only read; 'qed convert -O qed {} "
                                "NEW' copies the whole disk into a new image",
                                base.path, base.format, chain_[0].path));
    }
    if (chain_[0].format == "qed") return {};
    return fail(Errc::unsupported, fmt::format("'{}' has format {}, which is only read",
                                               chain_[0].path, chain_[0].format));
}

Result<void> Commit::check_overlay() const {
    std::error_code error;
    const auto target = std::filesystem::canonical(chain_[0].path, error);
    const std::string path = error ? chain_[0].path : target.string();
    const auto folder = Folder::of(path);
    if (!folder) return std::unexpected(folder.error().clone());
    return folder->check_replaceable(leaf_of(path));
}

Result<std::unique_ptr<Image>> Commit::open_layer(const LayerFile& layer, bool is_top,
                                                  std::shared_ptr<Image> below) {
    FileOptions held;
    held.writable = is_top;
    held.lock = lock_role(options_.lock, is_top);
    auto lock = open_file(layer.path, held);
    if (!lock) return pass(lock);
    locks_.push_back(std::move(*lock));
    auto file = open_file(layer.path, FileOptions{});
    if (!file) return pass(file);
    auto image = sync_wait(Image::open_file(std::move(*file), std::move(below), OpenOptions{}));
    if (!image) return image;
    // The plan was made before the lock was taken.
    if ((*image)->backing_name() != layer.backing_name || (*image)->size() != layer.disk_bytes) {
        return fail(Errc::locked, fmt::format("'{}' was changed by another process at this moment; "
                                              "try again",
                                              layer.path));
    }
    if (layer.format == "qed" && (*image)->header().needs_check()) {
        return fail(
            Errc::needs_check,
            fmt::format("'{}' was not closed cleanly; check and repair it first", layer.path));
    }
    return image;
}

/// Opens the layers above the base as a chain that ends there.
Result<void> Commit::open_layers() {
    std::shared_ptr<Image> below;
    for (std::size_t i = base_index_; i-- > 0;) {
        auto image = open_layer(chain_[i], i == 0, std::move(below));
        if (!image) return pass(image);
        below = std::move(*image);
    }
    top_ = std::move(below);
    return {};
}

Result<void> Commit::open_base() {
    const LayerFile& layer = chain_[base_index_];
    const std::uint64_t wanted = chain_[0].disk_bytes;
    if (layer.is_raw) {
        auto file = open_file(layer.path, {.writable = true,
                                           .direct = options_.direct,
                                           .sync = options_.sync,
                                           .ignore_flush = options_.ignore_flush,
                                           .lock = lock_role(options_.lock, true)});
        if (!file) return pass(file);
        auto bytes = (*file)->size();
        if (!bytes) return pass(bytes);
        if (*bytes < wanted) QED_CHECK((*file)->truncate(wanted).run_blocking());
        auto image = Image::open_raw(std::move(*file));
        if (!image) return pass(image);
        base_ = std::move(*image);
        return {};
    }
    OpenOptions open;
    open.writable = true;
    open.direct = options_.direct;
    open.sync = options_.sync;
    open.ignore_flush = options_.ignore_flush;
    open.backing = options_.backing;
    open.backing.depth_limit = kMaxBackingDepth;
    open.lock = options_.lock;
    // One flush at the end makes everything durable; until then the overlay holds the content, too.
    open.order = WriteOrder::deferred;
    auto image = Image::open(layer.path, open);
    if (!image) return pass(image);
    base_ = std::move(*image);
    if (base_->size() < wanted) QED_CHECK(base_->resize_blocking(wanted));
    return {};
}

Result<void> Commit::copy_down() {
    ConvertOptions copy;
    copy.copied_layers = static_cast<unsigned>(base_index_);
    copy.write_early = !options_.ignore_flush && !options_.direct;
    copy.progress = options_.progress;
    const std::array<Image*, 1> source = {top_.get()};
    const auto done = convert(source, *base_, copy);
    if (!done) return std::unexpected(done.error().clone());
    report_.data_bytes = done->data_bytes + done->shared_bytes;
    report_.zero_bytes = done->zero_bytes;
    return base_->close();  // makes it durable
}

/// The image holds no content that its backing file lacks: an empty overlay shows the same bytes.
Result<void> Commit::empty_overlay() {
    top_.reset();
    const std::string backing_name = chain_[0].backing_name;
    const bool backing_is_raw = chain_[0].header.backing_is_raw();
    HeldLayer held{.file = chain_[0], .lock = std::move(locks_.back())};
    QED_CHECK(replace_with_overlay(std::move(held), backing_name, backing_is_raw));
    report_.is_overlay_empty = true;
    return {};
}

}  // namespace

Result<CommitReport> commit(const std::string& path, const CommitOptions& options) {
    return without_throwing([&] { return Commit(options).run(path); });
}

}  // namespace qed
