// SPDX-License-Identifier: Apache-2.0
#include "qed/rebase.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/mutex.hpp"
#include "base/no_throw.hpp"
#include "chain/backing_name.hpp"
#include "ops/convert/disk_view.hpp"
#include "ops/convert/zero_scan.hpp"
#include "ops/layer_files.hpp"
#include "ops/threads.hpp"
#include "qed/backing.hpp"

namespace qed {
namespace {

/// Small enough that the data of both backing files stays in the processor's cache.
constexpr std::uint64_t kPieceBytes = 256U << 10U;
/// For the buffers of all threads. One thread always works, and clusters may have 64 MiB.
constexpr std::uint64_t kMemoryBytes = 256U << 20U;
constexpr std::size_t kBufferAlignment = 4096;

/// A range that the overlay does not allocate: whole clusters, except at the end of the disk.
struct Item {
    std::uint64_t begin = 0;
    std::uint64_t length = 0;
    std::uint64_t done = 0;  ///< the part of it that is examined for the first time
    bool read_old = true;    ///< false: zeroes there
    bool read_new = true;
};

/// One of the two backing files; null reads as zeroes.
struct Side {
    Image* image = nullptr;
    ChainMapping ahead = {};  ///< known mapping starting at the next byte; length 0: nothing

    Result<void> look_ahead(std::uint64_t at, std::uint64_t length) {
        if (ahead.mapping.length > 0) return {};
        if (image == nullptr) {
            ahead.mapping = Mapping::without_data(Mapping::Kind::unallocated, length);
            return {};
        }
        auto where = disk_mapping(*image, at, length);
        if (!where) return pass(where);
        ahead = *where;
        return {};
    }
    /// Zeroes lie ahead.
    bool is_zero() const { return !ahead.mapping.is_stored(); }
    std::uint64_t length() const { return ahead.mapping.length; }
};

class Rebase {
public:
    Rebase(Image& overlay, Image* new_backing, const RebaseOptions& options)
        : overlay_(overlay),
          options_(options),
          cluster_(overlay.info().cluster_bytes),
          piece_bytes_(std::max(kPieceBytes, cluster_)),
          old_image_(overlay.backing()),
          new_image_(new_backing),
          old_{.image = old_image_},
          new_{.image = new_backing} {}

    Result<RebaseReport> run() {
        const std::uint64_t in_memory = std::max<std::uint64_t>(1, kMemoryBytes / 2 / piece_bytes_);
        const std::uint64_t threads = std::min<std::uint64_t>(reading_threads(), in_memory);
        run_on_threads(static_cast<unsigned>(threads), [this]() noexcept { work(); });
        const ScopedLock lock(mutex_);
        if (error_) return std::unexpected(std::move(*error_));
        return report_;
    }

private:
    void work() noexcept {
        Result<void> done = without_throwing([this]() -> Result<void> {
            auto before = AlignedBuffer::create(piece_bytes_, kBufferAlignment);
            if (!before) return pass(before);
            auto after = AlignedBuffer::create(piece_bytes_, kBufferAlignment);
            if (!after) return pass(after);
            return work_through(before->span(), after->span());
        });
        if (done) return;
        const ScopedLock lock(mutex_);
        stopped_ = true;
        if (!error_) error_.emplace(std::move(done.error()));
    }

    Result<void> work_through(std::span<std::byte> before, std::span<std::byte> after) {
        while (true) {
            auto item = next_item();
            if (!item) return pass(item);
            if (!*item) return {};
            QED_CHECK(look_at(**item, before.first((*item)->length), after.first((*item)->length)));
            const ScopedLock lock(mutex_);
            QED_CHECK(advance((*item)->done));
        }
    }

    /// The next range in which the backing files may differ. Skips ranges that are known to be
    /// equal and ranges that the overlay holds itself.
    Result<std::optional<Item>> next_item() {
        const ScopedLock lock(mutex_);
        while (next_ < overlay_.size() && !stopped_) {
            if (next_ == unallocated_end_) {
                const std::uint64_t rest = overlay_.size() - next_;
                auto extent = overlay_.extent_at_blocking(GuestOffset{next_}, rest);
                if (!extent) return pass(extent);
                const bool is_own = extent->kind != Mapping::Kind::unallocated;
                unallocated_end_ = next_ + extent->length;
                if (is_own) QED_CHECK(skip(extent->length));
                continue;
            }
            QED_CHECK(old_.look_ahead(next_, unallocated_end_ - next_));
            QED_CHECK(new_.look_ahead(next_, unallocated_end_ - next_));
            if (!(old_.is_zero() && new_.is_zero()) && !is_same_place_(old_.ahead, new_.ahead))
                return take_clusters();
            QED_CHECK(skip(std::min(old_.length(), new_.length())));
        }
        return std::nullopt;
    }

    /// From the start of the cluster that contains next_, so that clusters are compared and written
    /// whole: a known mapping of a backing file may start and end inside a cluster.
    Item take_clusters() QED_REQUIRES(mutex_) {
        const std::uint64_t begin = next_ - next_ % cluster_;
        const std::uint64_t end = std::min(unallocated_end_, begin + piece_bytes_);
        const auto is_zero = [&](const Side& side) QED_REQUIRES(mutex_) {
            return side.image == nullptr ||
                   (side.is_zero() && next_ == begin && side.length() >= end - begin);
        };
        const Item item{.begin = begin,
                        .length = end - begin,
                        .done = end - next_,
                        .read_old = !is_zero(old_),
                        .read_new = !is_zero(new_)};
        go_on_at(end);
        return item;
    }

    Result<void> skip(std::uint64_t length) QED_REQUIRES(mutex_) {
        go_on_at(next_ + length);
        return advance(length);
    }

    void go_on_at(std::uint64_t at) QED_REQUIRES(mutex_) {
        pass_over(old_.ahead.mapping, at - next_);
        pass_over(new_.ahead.mapping, at - next_);
        next_ = at;
    }

    Result<void> look_at(const Item& item, std::span<std::byte> before,
                         std::span<std::byte> after) {
        if (item.read_old) QED_CHECK(read_padded(*old_image_, item.begin, before));
        if (item.read_new) QED_CHECK(read_padded(*new_image_, item.begin, after));
        const auto differs = [&](std::uint64_t at, std::uint64_t bytes) {
            if (!item.read_old) return !is_all_zero(after.subspan(at, bytes));
            if (!item.read_new) return !is_all_zero(before.subspan(at, bytes));
            return std::memcmp(before.data() + at, after.data() + at, bytes) != 0;
        };
        const auto is_zero = [&](std::uint64_t at, std::uint64_t bytes) {
            return !item.read_old || is_all_zero(before.subspan(at, bytes));
        };
        for (std::uint64_t at = 0; at < item.length;) {
            std::uint64_t run = std::min(cluster_, item.length - at);
            if (!differs(at, run)) {
                at += run;
                continue;
            }
            const bool zero = is_zero(at, run);
            while (at + run < item.length) {
                const std::uint64_t next = std::min(cluster_, item.length - at - run);
                if (!differs(at + run, next) || is_zero(at + run, next) != zero) break;
                run += next;
            }
            QED_CHECK(keep(item.begin + at, before.subspan(at, run), zero));
            at += run;
        }
        return {};
    }

    /// Stores old content in the overlay; for zeroes, `bytes` are not needed.
    Result<void> keep(std::uint64_t at, std::span<const std::byte> bytes, bool zero) {
        {
            const ScopedLock lock(mutex_);
            count(at, bytes.size(), zero);
        }
        if (options_.dry_run) return {};
        if (zero) {
            return overlay_.write_zeroes_blocking(
                GuestOffset{at}, bytes.size(), WriteFlags::may_unmap | WriteFlags::explicit_zero);
        }
        return overlay_.write_blocking(GuestOffset{at}, bytes);
    }

    void count(std::uint64_t at, std::uint64_t length, bool zero) QED_REQUIRES(mutex_) {
        const Geometry& geometry = overlay_.geometry();
        (zero ? report_.zeroed_bytes : report_.written_bytes) += length;
        if (!zero) report_.needed_bytes += geometry.clusters_for(length) * cluster_;
        const std::uint64_t last = geometry.l1_index(GuestOffset{at + length - 1});
        if (last >= touched_tables_.size()) touched_tables_.resize(last + 1);
        // At most one new table for each touched one.
        for (std::uint64_t table = geometry.l1_index(GuestOffset{at}); table <= last; ++table) {
            if (!touched_tables_[table]) report_.needed_bytes += geometry.table_bytes();
            touched_tables_[table] = true;
        }
    }

    Result<void> advance(std::uint64_t bytes) QED_REQUIRES(mutex_) {
        done_ += bytes;
        return options_.progress.report(done_, overlay_.size(),
                                        "the image is unchanged for its guest");
    }

    Image& overlay_;
    const RebaseOptions& options_;
    const std::uint64_t cluster_;
    const std::uint64_t piece_bytes_;
    Image* const old_image_;
    Image* const new_image_;
    Mutex mutex_;
    Side old_ QED_GUARDED_BY(mutex_);
    Side new_ QED_GUARDED_BY(mutex_);
    SamePlace is_same_place_ QED_GUARDED_BY(mutex_);
    std::uint64_t next_ QED_GUARDED_BY(mutex_) = 0;
    /// The end of the range starting at next_ that the overlay does not hold.
    std::uint64_t unallocated_end_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t done_ QED_GUARDED_BY(mutex_) = 0;
    bool stopped_ QED_GUARDED_BY(mutex_) = false;
    std::vector<bool> touched_tables_ QED_GUARDED_BY(mutex_);
    RebaseReport report_ QED_GUARDED_BY(mutex_);
    std::optional<Error> error_ QED_GUARDED_BY(mutex_);
};

}  // namespace

Result<RebaseReport> prepare_rebase(Image& overlay, Image* new_backing,
                                    const RebaseOptions& options) {
    if (overlay.is_raw()) {
        return fail(Errc::unsupported, "a raw disk has no backing file to change");
    }
    const LayerInfo info = overlay.info();
    if (info.format != "qed") {
        return fail(Errc::unsupported,
                    fmt::format("{}: an image of format {} cannot be given another backing file",
                                overlay.file_name(), info.format));
    }
    return without_throwing([&] { return Rebase(overlay, new_backing, options).run(); });
}

namespace {

Result<std::unique_ptr<Image>> open_overlay(const std::string& path, const RebaseOptions& options) {
    OpenOptions open;
    open.writable = true;
    open.direct = options.direct;
    open.sync = options.sync;
    open.ignore_flush = options.ignore_flush;
    open.open_backing = !options.change_name_only;
    open.lock = options.lock;
    open.backing = options.backing;
    open.backing.depth_limit = kMaxBackingDepth;
    // One flush at the end makes everything durable; a kill before that leaves the old backing
    // file.
    open.order = WriteOrder::deferred;
    return Image::open(path, open);
}

Result<std::unique_ptr<Image>> open_new_backing(const std::string& path,
                                                const RebaseOptions& options) {
    if (options.format == BackingFormat::raw) {
        auto file = open_file(
            path, {.direct = options.direct_backing, .lock = lock_role(options.lock, false)});
        if (!file) return pass(file);
        return Image::open_raw(std::move(*file));
    }
    OpenOptions open;
    open.direct = options.direct_backing;
    open.lock = options.lock;
    open.backing = options.backing;
    auto image = Image::open(path, open);
    if (image) QED_CHECK(check_base_format(**image, options.format));
    return image;
}

/// Fails before the first write if the result would fill the file system.
Result<void> check_free_space(const std::string& path, Image& overlay, Image* base) {
    std::error_code error;
    const std::uint64_t free_bytes = std::filesystem::space(path, error).available;
    if (error || free_bytes / 2 > overlay.size()) return {};
    RebaseOptions count;
    count.dry_run = true;
    const auto need = prepare_rebase(overlay, base, count);
    if (!need) return std::unexpected(need.error().clone());
    if (need->needed_bytes <= free_bytes) return {};
    return fail(Errc::no_space,
                fmt::format("{}: would grow by up to {} bytes, but its file system has {} free; "
                            "nothing was changed",
                            path, need->needed_bytes, free_bytes));
}

Result<RebaseReport> move_content(const std::string& path, Image& overlay, Image* base,
                                  const RebaseOptions& options) {
    QED_CHECK(check_free_space(path, overlay, base));
    return prepare_rebase(overlay, base, options);
}

Result<RebaseReport> rebase_image(const std::string& path, const char* new_backing,
                                  const RebaseOptions& options) {
    const bool has_base = new_backing != nullptr;
    const std::string name(has_base ? without_file_prefix(new_backing) : std::string_view{});
    const std::string backing_path = resolve_backing_name(path, name);
    if (has_base) {
        QED_CHECK(check_new_backing(path, backing_path, options.format, options.backing.depth_limit,
                                    !options.change_name_only));
    }
    auto overlay = open_overlay(path, options);
    if (!overlay) return pass(overlay);
    Result<RebaseReport> report{};
    if (!options.change_name_only) {
        std::unique_ptr<Image> base;
        if (has_base) {
            auto opened = open_new_backing(backing_path, options);
            if (!opened) {
                return std::unexpected(std::move(opened.error()).with_context("new backing file"));
            }
            base = std::move(*opened);
        }
        report = move_content(path, **overlay, base.get(), options);
        if (!report || options.dry_run) return report;
    }
    // Makes the copied data durable before the header drops the old backing file.
    QED_CHECK((*overlay)->set_backing_name_blocking(
        has_base ? name.c_str() : nullptr, has_base ? options.format : BackingFormat::unstated));
    QED_CHECK((*overlay)->close());
    return report;
}

}  // namespace

Result<RebaseReport> rebase(const std::string& path, const char* new_backing,
                            const RebaseOptions& options) {
    return without_throwing([&] { return rebase_image(path, new_backing, options); });
}

}  // namespace qed
