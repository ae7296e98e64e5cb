// SPDX-License-Identifier: Apache-2.0
#include "qed/clone.hpp"

#include <memory>

#include <fmt/format.h>

#include "base/no_throw.hpp"
#include "image/backing_survey.hpp"
#include "ops/layer_files.hpp"
#include "qed/backing.hpp"
#include "qed/output_file.hpp"

namespace qed {
namespace {

/// The base, locked as a reader.
Result<std::unique_ptr<Image>> open_base(const std::string& path, const CloneOptions& options) {
    if (options.base_format == BackingFormat::raw) {
        auto file = open_file(path, {.lock = lock_role(options.lock, false)});
        if (!file) return pass(file);
        return Image::open_raw(std::move(*file));
    }
    OpenOptions open;
    open.open_backing = false;
    open.lock = options.lock;
    auto image = Image::open(path, open);
    if (image) QED_CHECK(check_base_format(**image, options.base_format));
    return image;
}

/// Flushes the names of the clones, once for each run of clones in the same folder.
class FolderFlusher {
public:
    Result<void> add(std::unique_ptr<OutputFile> published) {
        if (last_ != nullptr && last_->directory() != published->directory()) QED_CHECK(flush());
        last_ = std::move(published);
        return {};
    }
    Result<void> flush() { return last_ == nullptr ? Result<void>{} : last_->flush_name(); }

private:
    std::unique_ptr<OutputFile> last_;
};

Result<void> make_clones(const std::string& base_path, std::span<const std::string> paths,
                         const CloneOptions& options) {
    auto base = open_base(base_path, options);
    if (!base) return pass(base);
    const auto below = BackingSurvey::of(base_path, options.base_format, options.depth_limit + 1);
    if (!below) return std::unexpected(below.error().clone());
    QED_CHECK(below->check_clean());
    CreateOptions create;
    create.image_bytes = (*base)->size();
    create.backing_format = options.base_format;
    if (options.cluster_bytes != 0) {
        create.cluster_bytes = options.cluster_bytes;
        create.table_clusters = table_clusters_for(options.cluster_bytes, create.image_bytes);
    }
    FolderFlusher folders;
    Result<void> done;
    for (std::size_t i = 0; done && i < paths.size(); ++i) {
        done = [&]() -> Result<void> {
            QED_CHECK(below->check_free_of(paths[i]));
            QED_CHECK(below->check_depth(paths[i], options.depth_limit));
            const std::string name = backing_name_for(paths[i], base_path);
            create.backing_name = name.c_str();
            // No other process can see the file before publish(), which flushes it.
            auto output = OutputFile::create(paths[i], {.ignore_flush = true,
                                                        .exclusive = !options.replace,
                                                        .lock = options.lock != LockMode::none});
            if (!output) return pass(output);
            QED_CHECK(sync_wait(Image::format((*output)->file(), create)));
            QED_CHECK((*output)->publish(Durability::content));
            QED_CHECK(folders.add(std::move(*output)));
            return options.progress.report(i + 1, paths.size(),
                                           fmt::format("{} clones are complete", i + 1));
        }();
    }
    // The clones that were made before a failure stay, and are durable.
    auto flushed = folders.flush();
    return done ? std::move(flushed) : std::move(done);
}

}  // namespace

Result<void> clone(const std::string& base, std::span<const std::string> paths,
                   const CloneOptions& options) {
    return without_throwing([&] { return make_clones(base, paths, options); });
}

}  // namespace qed
