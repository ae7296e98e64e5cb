// SPDX-License-Identifier: Apache-2.0
#include "engine/file_extender.hpp"

#include <algorithm>

namespace qed {
namespace {

// Growing by an eighth, within these bounds, keeps both the calls and the unused tail few.
constexpr std::uint64_t kLargestStep = 16U << 20;

std::uint64_t step_after(std::uint64_t end) {
    return std::min(end / 8, kLargestStep);
}

}  // namespace

Task<Result<void>> FileExtender::extend_to(std::uint64_t end) {
    if (bytes() >= end) co_return {};
    AsyncMutex::Guard growing = co_await mutex_.lock();
    if (bytes() >= end) co_return {};
    const std::uint64_t unit = 4096;
    const std::uint64_t target = (end + step_after(end)) / unit * unit;
    Result<void> grown = co_await file_.truncate(std::max(end, target));
    if (!grown) {
        co_return std::unexpected(
            std::move(grown.error()).with_context("extending the image file"));
    }
    bytes_.store(std::max(end, target), std::memory_order_release);
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
