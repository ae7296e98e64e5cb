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

Task<Result<void>> FileExtender::cut(std::uint64_t end) {
    AsyncMutex::Guard cutting = co_await mutex_.lock();
    if (bytes() <= end) co_return {};
    QED_CO_CHECK(co_await file_.truncate(end));
    bytes_.store(end, std::memory_order_release);
    co_return {};
}

}  // namespace qed
