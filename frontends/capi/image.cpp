// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <utility>

#include "capi/backing_options.hpp"
#include "capi/guard.hpp"
#include "capi/handle.hpp"
#include "qed/files.hpp"

// Opening, closing and creating images, and queries of an open image.

using qed::Result;
using qed::capi::fill_structure;
using qed::capi::guarded;
using qed::capi::require;
using qed::capi::require_choice;
using qed::capi::structure_of;

namespace {

static_assert(std::to_underlying(qed::LockMode::none) == QED_LOCK_NONE);
static_assert(std::to_underlying(qed::WriteOrder::deferred) == QED_ORDER_DEFERRED);
static_assert(std::to_underlying(qed::BackingRule::any) == QED_BACKING_ANY);
static_assert(std::to_underlying(qed::BackingFormat::qed) == QED_FORMAT_QED);
static_assert(std::to_underlying(qed::BackingFormat::qcow2) == QED_FORMAT_QCOW2);

Result<qed::OpenOptions> open_options(const qed_open_options& from) {
    QED_CHECK(require_choice(from.lock, QED_LOCK_NONE, "options.lock"));
    QED_CHECK(require_choice(from.order, QED_ORDER_DEFERRED, "options.order"));
    QED_CHECK(require_choice(from.format, QED_FORMAT_QED, "options.format"));
    const auto backing = qed::capi::backing_policy(from);
    if (!backing) return std::unexpected(backing.error().clone());
    qed::OpenOptions options;
    options.writable = from.writable;
    options.direct = from.direct;
    options.sync = from.sync;
    options.ignore_flush = from.ignore_flush;
    options.mapped = from.mapped;
    options.repair_dirty = !from.refuse_dirty;
    options.open_backing = !from.no_backing;
    options.lock = static_cast<qed::LockMode>(from.lock);
    options.order = static_cast<qed::WriteOrder>(from.order);
    options.backing = *backing;
    options.cache_limit = from.cache_limit;
    return options;
}

Result<std::unique_ptr<qed::Image>> open_raw(const char* path, const qed::OpenOptions& options) {
    if (options.writable && options.lock == qed::LockMode::force_shared) {
        return qed::fail(qed::Errc::invalid_argument,
                         "options.lock is QED_LOCK_FORCE_SHARED: a disk that another process may "
                         "write cannot be opened for writing");
    }
    auto file = qed::open_file(path, {.writable = options.writable,
                                      .direct = options.direct,
                                      .sync = options.sync,
                                      .ignore_flush = options.ignore_flush,
                                      .mapped = options.mapped,
                                      .lock = qed::lock_role(options.lock, options.writable)});
    if (!file) return qed::pass(file);
    return qed::Image::open_raw(std::move(*file));
}

Result<void> hand_over(Result<std::unique_ptr<qed::Image>> opened, qed_image** image) {
    if (!opened) return qed::pass(opened);
    *image = new qed_image{std::move(*opened)};
    return {};
}

}  // namespace

int qed_open(const char* path, const qed_open_options* options, qed_image** image,
             qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        QED_CHECK(require(image, "image"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        const auto how = open_options(*from);
        if (!how) return std::unexpected(how.error().clone());
        const bool is_raw = from->format == QED_FORMAT_RAW;
        return hand_over(is_raw ? open_raw(path, *how) : qed::Image::open(path, *how), image);
    });
}

int qed_open_raw(const char* path, bool writable, qed_image** image, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        QED_CHECK(require(image, "image"));
        qed::OpenOptions options;
        options.writable = writable;
        return hand_over(open_raw(path, options), image);
    });
}

int qed_close(qed_image* image, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        const std::unique_ptr<qed_image> owned(image);
        return owned == nullptr ? Result<void>{} : owned->image->close();
    });
}

int qed_create(const char* path, const qed_create_options* options, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(path, "path"));
        QED_CHECK(require(options, "options"));
        const auto from = structure_of(options, "options");
        if (!from) return std::unexpected(from.error().clone());
        QED_CHECK(require_choice(from->backing_format, QED_FORMAT_QCOW2, "options.backing_format"));
        qed::CreateOptions create;
        create.image_bytes = from->image_bytes;
        if (from->cluster_bytes != 0) create.cluster_bytes = from->cluster_bytes;
        if (from->table_clusters != 0) create.table_clusters = from->table_clusters;
        create.backing_name = from->backing_name;
        create.backing_format = static_cast<qed::BackingFormat>(from->backing_format);
        create.check_backing = !from->no_backing_check;
        create.exclusive = !from->replace;
        const auto depth = qed::capi::depth_limit(from->backing_depth);
        if (!depth) return std::unexpected(depth.error().clone());
        create.depth_limit = *depth;
        const auto lock = qed::capi::lock_mode(from->lock);
        if (!lock) return std::unexpected(lock.error().clone());
        create.lock = *lock;
        return qed::Image::create(path, create);
    });
}

uint64_t qed_size(const qed_image* image) {
    return image->image->size();
}

bool qed_is_writable(const qed_image* image) {
    return image->image->is_writable();
}

uint32_t qed_cluster_bytes(const qed_image* image) {
    return static_cast<uint32_t>(image->image->info().cluster_bytes);
}

int qed_backing_name(const qed_image* image, char* buffer, size_t bytes, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        QED_CHECK(require(buffer, "buffer"));
        const std::string name = image->image->backing_name();
        if (name.size() >= bytes) {
            return qed::fail(qed::Errc::invalid_argument,
                             "the backing file's name needs " + std::to_string(name.size() + 1) +
                                 " bytes, the buffer has " + std::to_string(bytes));
        }
        std::memcpy(buffer, name.c_str(), name.size() + 1);
        return {};
    });
}

int qed_set_backing(qed_image* image, const char* name, int backing_format, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        QED_CHECK(require_choice(backing_format, QED_FORMAT_QCOW2, "backing_format"));
        return image->image->set_backing_name_blocking(
            name, static_cast<qed::BackingFormat>(backing_format));
    });
}

int qed_get_stats(const qed_image* image, qed_stats* stats, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        const qed::Stats now = image->image->stats();
        qed_stats known{};
        known.reads = now.reads;
        known.read_bytes = now.read_bytes;
        known.writes = now.writes;
        known.write_bytes = now.write_bytes;
        known.flushes = now.flushes;
        known.file_flushes = now.file_flushes;
        known.allocated_clusters = now.allocated_clusters;
        known.cache_hits = now.cache.hits;
        known.cache_misses = now.cache.misses;
        known.cache_bytes = now.cache.bytes;
        return fill_structure(stats, known, "stats");
    });
}
