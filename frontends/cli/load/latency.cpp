// SPDX-License-Identifier: Apache-2.0
#include "cli/load/latency.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace qed::cli {

std::size_t LatencyHistogram::bucket_of(std::uint64_t nanoseconds) noexcept {
    constexpr std::uint64_t steps = std::uint64_t{1} << kStepBits;
    if (nanoseconds < steps) return static_cast<std::size_t>(nanoseconds);
    const auto exponent = static_cast<unsigned>(std::bit_width(nanoseconds)) - kStepBits - 1;
    return (static_cast<std::size_t>(exponent) << kStepBits) +
           static_cast<std::size_t>(nanoseconds >> exponent);
}

/// The largest duration in `bucket`.
std::uint64_t LatencyHistogram::end_of(std::size_t bucket) noexcept {
    constexpr std::size_t steps = std::size_t{1} << kStepBits;
    if (bucket < 2 * steps) return bucket;
    const std::size_t exponent = (bucket >> kStepBits) - 1;
    const std::uint64_t mantissa = steps + (bucket & (steps - 1));
    return ((mantissa + 1) << exponent) - 1;
}

void LatencyHistogram::add(std::uint64_t nanoseconds) noexcept {
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
    sum_ += nanoseconds;
    max_ = std::max(max_, nanoseconds);
}

void LatencyHistogram::merge(const LatencyHistogram& other) noexcept {
    for (std::size_t i = 0; i < kBuckets; ++i)
        buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
}

double LatencyHistogram::mean() const noexcept {
    return count_ == 0 ? 0.0 : static_cast<double>(sum_) / static_cast<double>(count_);
}

std::uint64_t LatencyHistogram::percentile(double fraction) const noexcept {
    const auto wanted =
        static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
        seen += buckets_[i];
        if (seen >= wanted && seen > 0) return std::min(end_of(i), max_);
    }
    return max_;
}

}  // namespace qed::cli
