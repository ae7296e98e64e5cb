// SPDX-License-Identifier: Apache-2.0
#include "qed/compare.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "base/no_throw.hpp"
#include "ops/disk_view.hpp"
#include "ops/threads.hpp"
#include "ops/zero_scan.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kPieceBytes = 256U << 10U;
constexpr std::size_t kBufferAlignment = 4096;

using Kind = DiskPiece::Kind;
using Verdict = CompareReport::Verdict;

/// A range that has to be read to be compared.
struct Item {
    std::uint64_t begin = 0;
    std::uint64_t length = 0;
    bool read_one = false;  ///< false: zeroes there
    bool read_other = false;
};

class Comparison {
public:
    Comparison(Image& one, Image& other, const CompareOptions& options)
        : one_(one), other_(other), options_(options), total_(std::max(one.size(), other.size())) {
        report_.sizes_differ = one.size() != other.size();
    }

    Result<CompareReport> run() {
        if (options_.strict && report_.sizes_differ) {
            report_.verdict = Verdict::size_differs;
            return report_;
        }
        run_on_threads(options_.threads != 0 ? options_.threads : usual_threads(),
                       [this]() noexcept { work(); });
        if (error_) return std::unexpected(std::move(*error_));
        return report_;
    }

private:
    void work() noexcept {
        Result<void> done = without_throwing([this]() -> Result<void> {
            auto one = AlignedBuffer::create(kPieceBytes, kBufferAlignment);
            if (!one) return pass(one);
            auto other = AlignedBuffer::create(kPieceBytes, kBufferAlignment);
            if (!other) return pass(other);
            return work_through(one->span(), other->span());
        });
        if (done) return;
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        if (!error_) error_.emplace(std::move(done.error()));
    }

    Result<void> work_through(std::span<std::byte> one, std::span<std::byte> other) {
        while (true) {
            auto item = next_item();
            if (!item) return pass(item);
            if (!*item) return {};
            QED_CHECK(look_at(**item, one, other));
        }
    }

    /// The next range that must be read; ranges that are known to be equal are passed over.
    Result<std::optional<Item>> next_item() {
        const std::lock_guard lock(mutex_);
        while (next_ < total_ && !stopped_) {
            auto one = disk_piece(one_, next_, total_ - next_);
            if (!one) return pass(one);
            auto other = disk_piece(other_, next_, one->length);
            if (!other) return pass(other);
            std::uint64_t length = other->length;
            const bool alike = one->kind == other->kind && one->present == other->present;
            if (options_.strict && !alike) {
                differ(next_, Verdict::status_differs);
                break;
            }
            const bool both_zero = one->kind == Kind::zero && other->kind == Kind::zero;
            if (both_zero || is_same_place(*one, *other)) {
                next_ += length;
                QED_CHECK(advance(length));
                continue;
            }
            length = std::min(length, kPieceBytes);
            const Item item{next_, length, one->kind == Kind::data, other->kind == Kind::data};
            next_ += length;
            return item;
        }
        return std::nullopt;
    }

    Result<void> look_at(const Item& item, std::span<std::byte> one, std::span<std::byte> other) {
        one = one.first(item.length);
        other = other.first(item.length);
        if (item.read_one) QED_CHECK(read_padded(one_, item.begin, one));
        if (item.read_other) QED_CHECK(read_padded(other_, item.begin, other));
        const auto is_equal = [&](std::uint64_t at, std::uint64_t length) {
            if (!item.read_one) return is_all_zero(other.subspan(at, length));
            if (!item.read_other) return is_all_zero(one.subspan(at, length));
            return std::memcmp(one.data() + at, other.data() + at, length) == 0;
        };
        const bool equal = is_equal(0, item.length);
        const std::lock_guard lock(mutex_);
        if (equal) return advance(item.length);
        std::uint64_t at = 0;
        while (is_equal(at, std::min(kSectorBytes, item.length - at)))
            at += kSectorBytes;
        differ(item.begin + at, Verdict::content_differs);
        return {};
    }

    // The rest is called with mutex_ held.

    void differ(std::uint64_t offset, Verdict verdict) {
        stopped_ = true;
        // Pieces are handed out in order, so the first difference is the lowest one seen.
        if (report_.verdict != Verdict::equal && report_.offset <= offset) return;
        report_.verdict = verdict;
        report_.offset = offset;
    }

    Result<void> advance(std::uint64_t bytes) {
        done_ += bytes;
        if (options_.progress == nullptr ||
            options_.progress(options_.progress_context, done_, total_)) {
            return {};
        }
        return fail(Errc::cancelled, "stopped on request");
    }

    Image& one_;
    Image& other_;
    const CompareOptions& options_;
    const std::uint64_t total_;
    std::mutex mutex_;  // guards everything below
    std::uint64_t next_ = 0;
    std::uint64_t done_ = 0;
    bool stopped_ = false;
    CompareReport report_;
    std::optional<Error> error_;
};

}  // namespace

Result<CompareReport> compare(Image& one, Image& other, const CompareOptions& options) {
    return without_throwing([&] { return Comparison(one, other, options).run(); });
}

}  // namespace qed
