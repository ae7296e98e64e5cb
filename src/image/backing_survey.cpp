// SPDX-License-Identifier: Apache-2.0
#include "image/backing_survey.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "chain/backing_name.hpp"
#include "chain/file_head.hpp"
#include "formats/registry/registry.hpp"
#include "qed/backing.hpp"
#include "qed/files.hpp"

namespace qed {
namespace {

namespace fs = std::filesystem;

/// The folder of a path without symbolic links, and the path's last part as it is.
fs::path place_of(const std::string& path) {
    std::error_code error;
    const fs::path whole = fs::absolute(path, error);
    return fs::weakly_canonical(whole.parent_path(), error) / whole.filename();
}

}  // namespace

BackingSurvey::File BackingSurvey::examine(const std::string& path) {
    File file{.path = path, .place = place_of(path).string()};
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) {
        file.device = status.st_dev;
        file.inode = status.st_ino;
    }
    return file;
}

namespace {

/// The header of an image in any format.
Result<HeaderSummary> summarize(BlockFile& file) {
    const Result<FileHead> head = sync_wait(FileHead::read(file));
    if (!head) return std::unexpected(head.error().clone());
    return sync_wait(format_registry().recognise(head->bytes())->summarize(file));
}

}  // namespace

/// Returns whether the layer could be read; `next` is then the path of its backing file, if any.
bool BackingSurvey::read_layer(const std::string& path, BackingFormat& format, std::string& next) {
    const auto file = open_file(path, {});
    if (!file) return false;
    ++layers_;
    if (format == BackingFormat::raw) return true;
    const Result<HeaderSummary> header = summarize(**file);
    if (!header) return false;
    const BackingReference& backing = header->backing;
    if (layers_ == 1) {
        needs_check_ = header->needs_check;
        backing_name_ = backing.name;
    }
    if (backing.name.empty()) return true;
    format = backing.format;
    next = resolve_backing_name(path, backing.name);
    return true;
}

Result<BackingSurvey> BackingSurvey::of(const std::string& path, BackingFormat format,
                                        unsigned limit) {
    return without_throwing([&]() -> Result<BackingSurvey> {
        BackingSurvey survey;
        std::string at = path;
        while (!at.empty()) {
            File file = examine(at);
            const bool is_loop = std::ranges::any_of(survey.files_, [&](const File& above) {
                return file.inode != 0 && above.device == file.device && above.inode == file.inode;
            });
            if (is_loop) break;
            survey.files_.push_back(std::move(file));
            std::string next;
            if (survey.layers_ >= limit || !survey.read_layer(at, format, next)) break;
            at = std::move(next);
        }
        return survey;
    });
}

Result<void> BackingSurvey::check_free_of(const std::string& path) const {
    const File wanted = examine(path);
    const auto found = std::ranges::find_if(files_, [&](const File& file) {
        if (wanted.inode == 0 || file.inode == 0) return file.place == wanted.place;
        return file.device == wanted.device && file.inode == wanted.inode;
    });
    if (found == files_.end()) return {};
    if (found == files_.begin()) {
        return fail(Errc::invalid_argument,
                    fmt::format("'{}' cannot be its own backing file", path));
    }
    return fail(Errc::invalid_argument,
                fmt::format("'{}' lies on '{}' itself: the chain of backing files would lead back "
                            "to where it begins",
                            files_.front().path, path));
}

Result<void> BackingSurvey::check_depth(const std::string& image_path, unsigned limit) const {
    if (layers_ <= limit) return {};
    return fail(Errc::backing_refused,
                fmt::format("{}: would have more than {} backing files below it, and could not be "
                            "opened; first shorten the chain of '{}', by a commit or a rebase to a "
                            "lower layer, or allow more",
                            image_path, limit, files_.front().path));
}

Result<void> BackingSurvey::check_clean() const {
    if (!needs_check_) return {};
    return fail(Errc::needs_check,
                fmt::format("'{}' was not closed cleanly, and nothing repairs a backing file; "
                            "check and repair it first",
                            files_.front().path));
}

Result<void> check_new_backing(const std::string& image_path, const std::string& backing_path,
                               BackingFormat format, unsigned depth_limit, bool must_be_clean) {
    const auto below = BackingSurvey::of(backing_path, format, depth_limit + 1);
    if (!below) return std::unexpected(below.error().clone());
    QED_CHECK(below->check_free_of(image_path));
    QED_CHECK(below->check_depth(image_path, depth_limit));
    return must_be_clean ? below->check_clean() : Result<void>{};
}

std::string resolve_backing_name(const std::string& image_path, std::string_view name) {
    name = without_file_prefix(name);
    const std::size_t slash = image_path.rfind('/');
    if (name.starts_with('/') || slash == std::string::npos) return std::string(name);
    return image_path.substr(0, slash + 1).append(name);
}

std::string backing_name_for(const std::string& image_path, const std::string& base) {
    // Between folders with links resolved: `..` leads up from the target of a link.
    const fs::path relative = place_of(base).lexically_relative(place_of(image_path).parent_path());
    if (relative.empty()) return base;
    const std::string name = relative.string();
    // So that it does not look like a protocol.
    const bool looks_like_one = name.find(':') < name.find('/') && name.find(':') != name.npos;
    return looks_like_one ? "./" + name : name;
}

Result<BackingSummary> summarize_backing(const std::string& image_path) {
    return without_throwing([&]() -> Result<BackingSummary> {
        const auto file = open_file(image_path, {});
        if (!file) return std::unexpected(file.error().clone());
        const Result<HeaderSummary> header = summarize(**file);
        if (!header) return std::unexpected(header.error().clone());
        BackingSummary summary;
        if (header->backing.name.empty()) return summary;
        summary.name = header->backing.name;
        const std::string base = resolve_backing_name(image_path, summary.name);
        const auto below = BackingSurvey::of(base, header->backing.format, ~0U);
        if (!below) return std::unexpected(below.error().clone());
        summary.layers = below->layers();
        std::error_code error;
        const fs::path folder = place_of(image_path).parent_path();
        const fs::path real = fs::weakly_canonical(fs::absolute(base, error), error);
        const fs::path relative = real.lexically_relative(folder);
        summary.leaves_folder = relative.empty() || *relative.begin() == "..";
        return summary;
    });
}

}  // namespace qed
