// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "capi/backing_options.hpp"
#include "capi/guard.hpp"
#include "qed/clone.hpp"
#include "qed/commit.hpp"
#include "qed/rebase.hpp"
#include "qed/snapshot.hpp"

// Operations on whole image files: commit, snapshot, clone and rebase.

using qed::Result;
using qed::capi::backing_policy;
using qed::capi::depth_limit;
using qed::capi::guarded;
using qed::capi::require;
using qed::capi::stated_format;
using qed::capi::structure_of;

int qed_commit(const char* path, const qed_commit_options* options, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        const auto backing = backing_policy(*from);
        if (!backing) return std::unexpected(backing.error().clone());
        const auto lock = qed::capi::lock_mode(from->lock);
        if (!lock) return std::unexpected(lock.error().clone());
        qed::CommitOptions how;
        how.lock = *lock;
        how.base = from->base;
        how.keep_overlay = from->keep_overlay;
        how.direct = from->direct;
        how.sync = from->sync;
        how.ignore_flush = from->ignore_flush;
        how.backing = *backing;
        how.progress = {.callback = from->progress, .context = from->progress_context};
        const auto done = qed::commit(path, how);
        return done ? Result<void>{} : std::unexpected(done.error().clone());
    });
}

int qed_snapshot(const char* path, const char* frozen_path, const qed_snapshot_options* options,
                 qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        QED_CHECK(require(frozen_path, "frozen_path"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        const auto format = stated_format(from->format, "options.format");
        if (!format) return std::unexpected(format.error().clone());
        const auto depth = depth_limit(from->backing_depth);
        if (!depth) return std::unexpected(depth.error().clone());
        const auto lock = qed::capi::lock_mode(from->lock);
        if (!lock) return std::unexpected(lock.error().clone());
        return qed::snapshot(path, frozen_path,
                             {.format = *format, .depth_limit = *depth, .lock = *lock});
    });
}

int qed_snapshot_revert(const char* path, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        return qed::revert_to_snapshot(path);
    });
}

int qed_clone(const char* base_path, const char* const* paths, size_t count,
              const qed_clone_options* options, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(base_path, "base_path"));
        if (count != 0) QED_CHECK(require(paths, "paths"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        const auto format = stated_format(from->base_format, "options.base_format");
        if (!format) return std::unexpected(format.error().clone());
        const auto depth = depth_limit(from->backing_depth);
        if (!depth) return std::unexpected(depth.error().clone());
        const auto lock = qed::capi::lock_mode(from->lock);
        if (!lock) return std::unexpected(lock.error().clone());
        std::vector<std::string> names;
        for (size_t i = 0; i < count; ++i) {
            QED_CHECK(require(paths[i], "paths[" + std::to_string(i) + "]"));
            names.emplace_back(paths[i]);
        }
        qed::CloneOptions how;
        how.lock = *lock;
        how.base_format = *format;
        how.replace = from->replace;
        how.depth_limit = *depth;
        how.progress = {.callback = from->progress, .context = from->progress_context};
        return qed::clone(base_path, names, how);
    });
}

int qed_rebase(const char* path, const char* new_backing, const qed_rebase_options* options,
               qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        if (new_backing != nullptr && from->format == QED_FORMAT_UNSTATED) {
            return qed::fail(qed::Errc::invalid_argument,
                             "options.format is to be QED_FORMAT_QED or QED_FORMAT_RAW");
        }
        const auto format = stated_format(from->format, "options.format");
        if (!format) return std::unexpected(format.error().clone());
        const auto backing = backing_policy(*from);
        if (!backing) return std::unexpected(backing.error().clone());
        const auto lock = qed::capi::lock_mode(from->lock);
        if (!lock) return std::unexpected(lock.error().clone());
        qed::RebaseOptions how;
        how.lock = *lock;
        how.format = *format;
        how.change_name_only = from->change_name_only;
        how.direct = from->direct;
        how.sync = from->sync;
        how.ignore_flush = from->ignore_flush;
        how.backing = *backing;
        how.progress = {.callback = from->progress, .context = from->progress_context};
        const auto done = qed::rebase(path, new_backing, how);
        return done ? Result<void>{} : std::unexpected(done.error().clone());
    });
}
