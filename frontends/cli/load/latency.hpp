// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace qed::cli {

/// Counts durations in buckets whose width is at most 1/32 of their value. Gives percentiles of any
/// number of requests with fixed memory.
class LatencyHistogram {
public:
    void add(std::uint64_t nanoseconds) noexcept;
    void merge(const LatencyHistogram& other) noexcept;

    std::uint64_t count() const noexcept { return count_; }
    double mean() const noexcept;
    std::uint64_t max() const noexcept { return max_; }
    /// The duration that `fraction` of the requests did not exceed, rounded up to a bucket's end.
    std::uint64_t percentile(double fraction) const noexcept;

private:
    static constexpr unsigned kStepBits = 5;
    static constexpr std::size_t kBuckets = (64 - kStepBits + 1) << kStepBits;
    static std::size_t bucket_of(std::uint64_t nanoseconds) noexcept;
    static std::uint64_t end_of(std::size_t bucket) noexcept;

    std::array<std::uint64_t, kBuckets> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t sum_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace qed::cli
