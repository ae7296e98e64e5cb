// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <span>
#include <utility>

#include "capi/guard.hpp"
#include "capi/handle.hpp"
#include "qed/map.hpp"

// The requests of a guest.

using qed::GuestOffset;
using qed::Result;
using qed::WriteFlags;
using qed::capi::guarded;
using qed::capi::require;

namespace {

constexpr unsigned kAllFlags = QED_FUA | QED_NO_FALLBACK | QED_EXPLICIT_ZERO | QED_NO_HOLE;
static_assert(std::to_underlying(WriteFlags::fua) == QED_FUA);
static_assert(std::to_underlying(WriteFlags::no_fallback) == QED_NO_FALLBACK);
static_assert(std::to_underlying(WriteFlags::explicit_zero) == QED_EXPLICIT_ZERO);
static_assert(std::to_underlying(WriteFlags::no_hole) == QED_NO_HOLE);

Result<WriteFlags> write_flags(unsigned flags, unsigned known) {
    if ((flags & ~known) == 0) return static_cast<WriteFlags>(flags);
    return qed::fail(
        qed::Errc::invalid_argument,
        "flags " + std::to_string(flags) + ": expected a sum of " +
            (known == QED_FUA ? "QED_FUA"
                              : "QED_FUA, QED_NO_FALLBACK, QED_EXPLICIT_ZERO, QED_NO_HOLE"));
}

qed_extent c_extent(const qed::MappedExtent& from) {
    qed_extent to{};
    to.start = from.start;
    to.length = from.length;
    to.file_offset = from.data ? from.file_offset.value : 0;
    if (from.compressed) to.file_offset = UINT64_MAX;
    to.file_name = from.data ? from.file_name.data() : nullptr;
    to.depth = from.depth;
    to.data = from.data;
    to.zero = from.zero;
    to.present = from.present;
    return to;
}

}  // namespace

int qed_read(qed_image* image, uint64_t offset, void* buffer, size_t bytes, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        if (bytes != 0) QED_CHECK(require(buffer, "buffer"));
        return image->image->read_blocking(GuestOffset{offset},
                                           std::span(static_cast<std::byte*>(buffer), bytes));
    });
}

int qed_write(qed_image* image, uint64_t offset, const void* data, size_t bytes, unsigned flags,
              qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        if (bytes != 0) QED_CHECK(require(data, "data"));
        auto how = write_flags(flags, QED_FUA);
        if (!how) return qed::pass(how);
        return image->image->write_blocking(
            GuestOffset{offset}, std::span(static_cast<const std::byte*>(data), bytes), *how);
    });
}

int qed_write_zeroes(qed_image* image, uint64_t offset, uint64_t bytes, unsigned flags,
                     qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        auto how = write_flags(flags, kAllFlags);
        if (!how) return qed::pass(how);
        return image->image->write_zeroes_blocking(GuestOffset{offset}, bytes, *how);
    });
}

int qed_discard(qed_image* image, uint64_t offset, uint64_t bytes, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        return image->image->discard_blocking(GuestOffset{offset}, bytes);
    });
}

int qed_flush(qed_image* image, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        return image->image->flush_blocking();
    });
}

int qed_prefetch(qed_image* image, uint64_t offset, uint64_t bytes, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        return image->image->prefetch_blocking(GuestOffset{offset}, bytes);
    });
}

int qed_settle(qed_image* image, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        return image->image->quiesce_blocking();
    });
}

int qed_compact_step(qed_image* image, uint64_t bytes, uint64_t* moved, bool* has_more,
                     qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        const Result<qed::CompactStep> done = image->image->compact_step_blocking(bytes);
        if (!done) return std::unexpected(done.error().clone());
        if (moved != nullptr) *moved = done->moved_bytes;
        if (has_more != nullptr) *has_more = done->has_more;
        return {};
    });
}

int qed_resize(qed_image* image, uint64_t image_bytes, bool allow_data_loss, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        return image->image->resize_blocking(image_bytes, allow_data_loss);
    });
}

int qed_map(qed_image* image, uint64_t offset, uint64_t bytes, qed_extent* extents, size_t capacity,
            size_t* count, qed_error* error) {
    return guarded(error, [&]() -> Result<void> {
        QED_CHECK(require(image, "image"));
        QED_CHECK(require(extents, "extents"));
        QED_CHECK(require(count, "count"));
        *count = 0;
        std::array<qed::MappedExtent, 64> some;
        while (*count < capacity && bytes != 0) {
            const std::span room(some.data(), std::min(some.size(), capacity - *count));
            const Result<size_t> found =
                qed::map_extents(*image->image, GuestOffset{offset}, bytes, room);
            if (!found && *count != 0) return {};  // the next call reports the error
            if (!found) return std::unexpected(found.error().clone());
            if (*found == 0) return {};
            for (const qed::MappedExtent& extent : room.first(*found)) {
                extents[(*count)++] = c_extent(extent);
                offset += extent.length;
                bytes -= extent.length;
            }
        }
        return {};
    });
}
