// SPDX-License-Identifier: Apache-2.0
#include "qed/compare.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"
#include "base/mutex.hpp"
#include "base/no_throw.hpp"
#include "ops/convert/disk_view.hpp"
#include "ops/convert/zero_scan.hpp"
#include "ops/threads.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kPieceBytes = 256U << 10U;
constexpr std::size_t kBufferAlignment = 4096;

using Verdict = CompareReport::Verdict;

/// A range that has to be read to be compared.
struct Item {
    std::uint64_t begin = 0;
    std::uint64_t length = 0;
    bool read_one = false;  ///< false: zeroes there
    bool read_other = false;
};

/// One of the two disks.
struct Side {
    Image& image;
    ChainMapping ahead = {};  ///< known mapping starting at the next byte; length 0: nothing
};

class Comparison {
public:
    Comparison(Image& one, Image& other, const CompareOptions& options)
        : options_(options),
          total_(std::max(one.size(), other.size())),
          one_image_(one),
          other_image_(other),
          one_{.image = one},
          other_{.image = other} {
        report_.sizes_differ = one.size() != other.size();
    }

    Result<CompareReport> run() {
        if (options_.strict && one_image_.size() != other_image_.size()) {
            return CompareReport{.verdict = Verdict::size_differs, .sizes_differ = true};
        }
        run_on_threads(options_.threads != 0 ? options_.threads : reading_threads(),
                       [this]() noexcept { work(); });
        const ScopedLock lock(mutex_);
        // The result is that of one thread that reads in order: the first difference that it would
        // find.
        const bool differs = report_.verdict != Verdict::equal;
        if (error_ && !(differs && report_.offset < error_offset_)) {
            return std::unexpected(std::move(*error_));
        }
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
        const ScopedLock lock(mutex_);
        stop(0, std::move(done.error()));
    }

    Result<void> work_through(std::span<std::byte> one, std::span<std::byte> other) {
        while (true) {
            auto item = next_item();
            if (!item) return pass(item);
            if (!*item) return {};
            const auto left = one.first((*item)->length);
            const auto right = other.first((*item)->length);
            if (auto done = read(**item, left, right); !done) {
                const ScopedLock lock(mutex_);
                stop((*item)->begin, std::move(done.error()));
                return {};
            }
            QED_CHECK(look_at(**item, left, right));
        }
    }

    /// The next range that must be read; skips ranges that are known to be equal.
    Result<std::optional<Item>> next_item() {
        const ScopedLock lock(mutex_);
        while (next_ < total_ && !stopped_) {
            if (auto known = look_ahead(); !known) {
                stop(next_, std::move(known.error()));
                break;
            }
            const Mapping& one = one_.ahead.mapping;
            const Mapping& other = other_.ahead.mapping;
            const bool both_stored = one.is_stored() && other.is_stored();
            if (options_.strict && one.kind != other.kind && !both_stored) {
                differ(next_, Verdict::status_differs);
                break;
            }
            std::uint64_t length = std::min(one.length, other.length);
            const bool both_zero = !one.is_stored() && !other.is_stored();
            const bool known_equal = both_zero || is_same_place_(one_.ahead, other_.ahead);
            if (!known_equal) length = std::min(length, kPieceBytes);
            const Item item{next_, length, one.is_stored(), other.is_stored()};
            next_ += length;
            pass_over(one_.ahead.mapping, length);
            pass_over(other_.ahead.mapping, length);
            if (!known_equal) return item;
            QED_CHECK(advance(length));
        }
        return std::nullopt;
    }

    Result<void> read(const Item& item, std::span<std::byte> one,
                      std::span<std::byte> other) const {
        if (item.read_one) QED_CHECK(read_padded(one_image_, item.begin, one));
        if (item.read_other) QED_CHECK(read_padded(other_image_, item.begin, other));
        return {};
    }

    Result<void> look_at(const Item& item, std::span<const std::byte> one,
                         std::span<const std::byte> other) {
        const auto is_equal = [&](std::uint64_t at, std::uint64_t length) {
            if (!item.read_one) return is_all_zero(other.subspan(at, length));
            if (!item.read_other) return is_all_zero(one.subspan(at, length));
            return std::memcmp(one.data() + at, other.data() + at, length) == 0;
        };
        const bool equal = is_equal(0, item.length);
        const ScopedLock lock(mutex_);
        if (equal) return advance(item.length);
        std::uint64_t at = 0;
        while (is_equal(at, std::min(kSectorBytes, item.length - at)))
            at += kSectorBytes;
        differ(item.begin + at, Verdict::content_differs);
        return {};
    }

    Result<void> look_ahead() QED_REQUIRES(mutex_) {
        for (Side* side : {&one_, &other_}) {
            if (side->ahead.mapping.length > 0) continue;
            auto where = disk_mapping(side->image, next_, total_ - next_);
            if (!where) return pass(where);
            side->ahead = *where;
        }
        return {};
    }

    // Pieces are handed out in order, and each of them is compared to its end: the lowest of all
    // differences that are found is the first one on the disks.

    void differ(std::uint64_t offset, Verdict verdict) QED_REQUIRES(mutex_) {
        stopped_ = true;
        if (report_.verdict != Verdict::equal && report_.offset <= offset) return;
        report_.verdict = verdict;
        report_.offset = offset;
    }

    void stop(std::uint64_t offset, Error error) QED_REQUIRES(mutex_) {
        stopped_ = true;
        if (error_ && error_offset_ <= offset) return;
        error_.emplace(std::move(error));
        error_offset_ = offset;
    }

    Result<void> advance(std::uint64_t bytes) QED_REQUIRES(mutex_) {
        done_ += bytes;
        return options_.progress.report(done_, total_);
    }

    const CompareOptions& options_;
    const std::uint64_t total_;
    Image& one_image_;
    Image& other_image_;
    Mutex mutex_;
    Side one_ QED_GUARDED_BY(mutex_);
    Side other_ QED_GUARDED_BY(mutex_);
    SamePlace is_same_place_ QED_GUARDED_BY(mutex_);
    std::uint64_t next_ QED_GUARDED_BY(mutex_) = 0;
    std::uint64_t done_ QED_GUARDED_BY(mutex_) = 0;
    bool stopped_ QED_GUARDED_BY(mutex_) = false;
    CompareReport report_ QED_GUARDED_BY(mutex_);
    std::optional<Error> error_ QED_GUARDED_BY(mutex_);
    std::uint64_t error_offset_ QED_GUARDED_BY(mutex_) = 0;
};

}  // namespace

Result<CompareReport> compare(Image& one, Image& other, const CompareOptions& options) {
    return without_throwing([&] { return Comparison(one, other, options).run(); });
}

}  // namespace qed
