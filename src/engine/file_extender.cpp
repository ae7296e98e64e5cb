// SPDX-License-Identifier: Apache-2.0
#include "engine/file_extender.hpp"

#include <algorithm>
#include <cerrno>

#include "base/assert.hpp"
#include "base/math.hpp"

namespace qed {
namespace {

// Growing by an eighth, within these bounds, keeps both the calls and the unused tail few.
constexpr std::uint64_t kLargestStep = 16U << 20;

constexpr std::uint64_t kUnit = 4096;

bool is_out_of_space(const Error& error) {
    const int code = error.sys_errno();
    return code == EFBIG || code == ENOSPC || code == EDQUOT;
}

std::uint64_t step_after(std::uint64_t end) {
    return std::min(end / 8, kLargestStep);
}

}  // namespace

Task<Result<void>> FileExtender::extend_to(std::uint64_t end) {
    if (bytes() >= end) co_return {};
    AsyncMutex::Guard growing = co_await mutex_.lock();
    if (bytes() >= end) co_return {};
    const std::uint64_t ahead = std::max(end, round_down(end + step_after(end), kUnit));
    std::uint64_t reached = ahead;
    Result<void> grown = co_await file_.truncate(ahead);
    if (!grown && ahead != end && is_out_of_space(grown.error())) {
        // A file system or a limit may have space for the needed part, but not for the chunk.
        reached = end;
        grown = co_await file_.truncate(end);
    }
    if (!grown) {
        co_return std::unexpected(
            std::move(grown.error()).with_context("extending the image file"));
    }
    QED_ASSERT(reached >= end);
    bytes_.store(reached, std::memory_order_release);
    co_return {};
}

// While the length counts as 0, a reservation is either in front of the free end, or waits in
// extend_to() until the file is truncated.
Task<Result<void>> FileExtender::cut(ClusterAllocator& allocator) {
    AsyncMutex::Guard cutting = co_await mutex_.lock();
    if (keeps_length_) co_return {};
    const std::uint64_t had = bytes_.exchange(0, std::memory_order_acq_rel);
    const std::uint64_t end = allocator.begin_cut();
    const Result<bool> is_cut = co_await shorten(had, end);
    allocator.end_cut(is_cut && *is_cut);
    // After a failure the file may be as short as `end`.
    const bool is_long = is_cut && !*is_cut;
    bytes_.store(is_long ? had : std::min(had, end), std::memory_order_release);
    if (!is_cut) co_return std::unexpected(is_cut.error().clone());
    co_return {};
}

// False: the storage has accepted the new length, but keeps its own.
Task<Result<bool>> FileExtender::shorten(std::uint64_t had, std::uint64_t end) {
    if (had <= end) co_return true;
    QED_CO_CHECK(co_await file_.truncate(end));
    const Result<std::uint64_t> now = file_.size();
    keeps_length_ = now && *now > end;
    co_return !keeps_length_;
}

}  // namespace qed
