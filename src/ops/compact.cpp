// SPDX-License-Identifier: Apache-2.0
#include "qed/compact.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/no_throw.hpp"
#include "qed/check.hpp"
#include "qed/files.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kChunkBytes = 1U << 20;

bool is_zero(std::span<const std::byte> bytes) {
    return bytes.empty() || (bytes.front() == std::byte{0} &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Frees clusters that hold only zeroes.
class ZeroClusters {
public:
    ZeroClusters(Image& image, const CompactOptions& options) : image_(image), options_(options) {}

    Result<std::uint64_t> give_up() {
        if (image_.info().cluster_bytes == 0) {
            return fail(Errc::unsupported, fmt::format("{}: a raw disk has no clusters to give up",
                                                       image_.file_name()));
        }
        const std::uint64_t chunk = std::max(kChunkBytes, image_.info().cluster_bytes);
        auto buffer = AlignedBuffer::create(chunk, 4096);
        if (!buffer) return pass(buffer);
        for (std::uint64_t at = 0; at < image_.size();) {
            // One step for a hole of any length: a huge disk may be empty.
            const auto extent = image_.extent_at_blocking(GuestOffset{at}, image_.size() - at);
            if (!extent) return std::unexpected(extent.error().clone());
            const std::uint64_t end = at + extent->length;
            if (!extent->is_stored()) at = end;
            while (at < end) {
                const std::uint64_t length = std::min(chunk, end - at);
                QED_CHECK(look_at(at, buffer->span().first(length)));
                at += length;
                QED_CHECK(report(at));
            }
            QED_CHECK(report(at));
        }
        return count_;
    }

private:
    Result<void> look_at(std::uint64_t at, std::span<std::byte> data) {
        QED_CHECK(image_.read_blocking(GuestOffset{at}, data));
        const std::uint64_t cluster = image_.info().cluster_bytes;
        while (!data.empty()) {
            const auto one = data.first(std::min<std::uint64_t>(cluster, data.size()));
            if (is_zero(one)) {
                QED_CHECK(image_.write_zeroes_blocking(GuestOffset{at}, one.size(),
                                                       WriteFlags::may_unmap));
                ++count_;
            }
            at += one.size();
            data = data.subspan(one.size());
        }
        return {};
    }

    Result<void> report(std::uint64_t done) const {
        return options_.progress.report(done, image_.size(),
                                        "the image is consistent, and a second run continues");
    }

    Image& image_;
    const CompactOptions& options_;
    std::uint64_t count_ = 0;
};

/// Puts the data of the image into the order of the disk.
Result<std::uint64_t> sort_data(Image& image, const CompactOptions& options) {
    constexpr std::uint64_t kWindowBytes = 256U << 20;
    std::uint64_t moved = 0;
    for (bool has_more = true; has_more;) {
        const Result<SortStep> step = image.sort_step_blocking(kWindowBytes);
        if (!step) return std::unexpected(step.error().clone());
        moved += step->moved_bytes;
        has_more = step->has_more;
        QED_CHECK(options.progress.report(step->done_bytes, image.size(),
                                          "the image is consistent, and partly in order"));
    }
    return moved;
}

Result<std::uint64_t> reclaim(const std::string& path, LockMode lock, std::uint64_t* file_bytes) {
    auto file = open_file(path, {.writable = true, .lock = lock_role(lock, true)});
    if (!file) return pass(file);
    CheckOptions check;
    check.repair = Repair::leaks;
    check.shortens = true;
    const auto report = sync_wait(check_file(**file, check));
    if (!report) return std::unexpected(report.error().clone());
    if (report->corruptions != 0 || report->check_errors != 0) {
        return fail(Errc::needs_check,
                    fmt::format("{}: {} corruptions and {} errors: run 'qed check -r all' first",
                                path, report->corruptions, report->check_errors));
    }
    const auto bytes = (*file)->size();
    if (!bytes) return std::unexpected(bytes.error().clone());
    *file_bytes = *bytes;
    return report->leaks_fixed;
}

Result<CompactReport> compact_image(const std::string& path, const CompactOptions& options) {
    CompactReport report;
    OpenOptions open;
    open.writable = true;
    open.open_backing = false;  // reads only data that this image stores
    open.lock = options.lock;
    auto image = Image::open(path, open);
    if (!image) return pass(image);
    const auto before = (*image)->file().size();
    if (!before) return std::unexpected(before.error().clone());
    report.file_bytes_before = *before;
    const auto zeroes = ZeroClusters(**image, options).give_up();
    if (!zeroes) return std::unexpected(zeroes.error().clone());
    report.zero_clusters = *zeroes;
    if (options.sort) {
        const auto sorted = sort_data(**image, options);
        if (!sorted) return std::unexpected(sorted.error().clone());
        report.sorted_bytes = *sorted;
    }
    QED_CHECK((*image)->close());
    image->reset();

    const auto reclaimed = reclaim(path, options.lock, &report.file_bytes_after);
    if (!reclaimed) return std::unexpected(reclaimed.error().clone());
    report.leaks_reclaimed = *reclaimed;
    return report;
}

}  // namespace

Result<std::uint64_t> give_up_zero_clusters(Image& image, const CompactOptions& options) {
    return without_throwing([&] { return ZeroClusters(image, options).give_up(); });
}

Result<CompactReport> compact(const std::string& path, const CompactOptions& options) {
    return without_throwing([&] { return compact_image(path, options); });
}

}  // namespace qed
