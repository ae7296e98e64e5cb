// SPDX-License-Identifier: Apache-2.0
#include "qed/rebase.hpp"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.hpp"
#include "base/no_throw.hpp"
#include "ops/disk_view.hpp"
#include "ops/zero_scan.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kPieceBytes = 1U << 20U;
constexpr std::size_t kBufferAlignment = 4096;
constexpr std::uint64_t kNoTable = ~std::uint64_t{0};

using Kind = DiskPiece::Kind;

class Rebase {
public:
    Rebase(Image& overlay, Image* new_backing, const RebaseOptions& options)
        : overlay_(overlay),
          old_(overlay.backing()),
          new_(new_backing),
          options_(options),
          cluster_(overlay.geometry().cluster_bytes()),
          piece_bytes_(std::max(kPieceBytes, cluster_)) {}

    Result<RebaseReport> run() {
        auto old_buffer = AlignedBuffer::create(piece_bytes_, kBufferAlignment);
        auto new_buffer = AlignedBuffer::create(piece_bytes_, kBufferAlignment);
        if (!old_buffer || !new_buffer) return std::unexpected(Error::out_of_memory());
        old_bytes_ = old_buffer->span();
        new_bytes_ = new_buffer->span();
        for (std::uint64_t at = 0; at < overlay_.size();) {
            const std::uint64_t rest = overlay_.size() - at;
            auto extent = overlay_.extent_at_blocking(GuestOffset{at}, rest);
            if (!extent) return pass(extent);
            if (extent->kind == ExtentKind::unallocated) {
                QED_CHECK(look_at(at, at + extent->length));
            }
            at += extent->length;
            QED_CHECK(report(at));
        }
        return report_;
    }

private:
    static Result<DiskPiece> piece_of(Image* image, std::uint64_t at, std::uint64_t length) {
        if (image == nullptr) return DiskPiece{.kind = Kind::zero, .length = length};
        return disk_piece(*image, at, length);
    }

    static Result<void> read(Image* image, std::uint64_t at, std::span<std::byte> bytes) {
        if (image != nullptr) return read_padded(*image, at, bytes);
        std::memset(bytes.data(), 0, bytes.size());
        return {};
    }

    /// A range that the overlay does not allocate.
    Result<void> look_at(std::uint64_t at, std::uint64_t end) {
        while (at < end) {
            auto before = piece_of(old_, at, end - at);
            if (!before) return pass(before);
            auto after = piece_of(new_, at, before->length);
            if (!after) return pass(after);
            const bool both_zero = before->kind == Kind::zero && after->kind == Kind::zero;
            if (both_zero || is_same_place(*before, *after)) {
                at += after->length;
                continue;
            }
            // From the start of the cluster, so that clusters are judged and written whole.
            const std::uint64_t begin = at - at % cluster_;
            const std::uint64_t stop = std::min(end, begin + piece_bytes_);
            QED_CHECK(compare_piece(begin, stop - begin));
            at = stop;
            QED_CHECK(report(at));
        }
        return {};
    }

    Result<void> compare_piece(std::uint64_t begin, std::uint64_t length) {
        const auto before = old_bytes_.first(length);
        const auto after = new_bytes_.first(length);
        QED_CHECK(read(old_, begin, before));
        QED_CHECK(read(new_, begin, after));
        const auto differs = [&](std::uint64_t at) {
            const std::uint64_t bytes = std::min(cluster_, length - at);
            return std::memcmp(before.data() + at, after.data() + at, bytes) != 0;
        };
        for (std::uint64_t at = 0; at < length;) {
            if (!differs(at)) {
                at += std::min(cluster_, length - at);
                continue;
            }
            std::uint64_t run = std::min(cluster_, length - at);
            const bool zero = is_all_zero(before.subspan(at, run));
            while (at + run < length && differs(at + run)) {
                const std::uint64_t next = std::min(cluster_, length - at - run);
                if (is_all_zero(before.subspan(at + run, next)) != zero) break;
                run += next;
            }
            QED_CHECK(keep(begin + at, before.subspan(at, run), zero));
            at += run;
        }
        return {};
    }

    /// Stores old content in the overlay.
    Result<void> keep(std::uint64_t at, std::span<const std::byte> bytes, bool zero) {
        count(at, bytes.size(), zero);
        if (options_.dry_run) return {};
        if (zero) {
            return overlay_.write_zeroes_blocking(
                GuestOffset{at}, bytes.size(), WriteFlags::may_unmap | WriteFlags::explicit_zero);
        }
        return overlay_.write_blocking(GuestOffset{at}, bytes);
    }

    void count(std::uint64_t at, std::uint64_t length, bool zero) {
        const Geometry& geometry = overlay_.geometry();
        (zero ? report_.zeroed_bytes : report_.written_bytes) += length;
        if (!zero) report_.needed_bytes += geometry.clusters_for(length) * cluster_;
        const std::uint64_t table = geometry.l1_index(GuestOffset{at + length - 1});
        // At most one new table for each that is touched.
        if (table != last_table_) report_.needed_bytes += geometry.table_bytes();
        last_table_ = table;
    }

    Result<void> report(std::uint64_t done) const {
        if (options_.progress == nullptr ||
            options_.progress(options_.progress_context, done, overlay_.size())) {
            return {};
        }
        return fail(Errc::cancelled, "stopped on request; the image is unchanged for its guest");
    }

    Image& overlay_;
    Image* old_;
    Image* new_;
    const RebaseOptions& options_;
    const std::uint64_t cluster_;
    const std::uint64_t piece_bytes_;
    std::span<std::byte> old_bytes_;
    std::span<std::byte> new_bytes_;
    std::uint64_t last_table_ = kNoTable;
    RebaseReport report_;
};

}  // namespace

Result<RebaseReport> prepare_rebase(Image& overlay, Image* new_backing,
                                    const RebaseOptions& options) {
    if (overlay.is_raw()) {
        return fail(Errc::unsupported, "a raw disk has no backing file to change");
    }
    return without_throwing([&] { return Rebase(overlay, new_backing, options).run(); });
}

}  // namespace qed
