// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/units.hpp"

namespace qed {

/// The size of a cluster, a power of two, and the arithmetic that follows from it. All that the
/// engine knows about the geometry of a format. A small value; all members are pure.
class ClusterSize {
public:
    constexpr explicit ClusterSize(unsigned bits) noexcept : bits_(bits) {}

    constexpr unsigned bits() const noexcept { return bits_; }
    constexpr std::uint64_t bytes() const noexcept { return std::uint64_t{1} << bits_; }

    constexpr std::uint64_t index(GuestOffset at) const noexcept { return at.value >> bits_; }
    constexpr GuestOffset start(GuestOffset at) const noexcept {
        return {at.value & ~(bytes() - 1)};
    }
    /// Bytes from the start of its cluster to `at`.
    constexpr std::uint64_t within(GuestOffset at) const noexcept {
        return at.value & (bytes() - 1);
    }
    constexpr bool is_aligned(std::uint64_t offset) const noexcept {
        return (offset & (bytes() - 1)) == 0;
    }
    /// Clusters that hold `length` bytes, rounded up; never overflows.
    constexpr std::uint64_t clusters_for(std::uint64_t length) const noexcept {
        return (length >> bits_) + (is_aligned(length) ? 0 : 1);
    }
    constexpr std::uint64_t round_up(std::uint64_t length) const noexcept {
        return clusters_for(length) << bits_;
    }
    constexpr std::uint64_t round_down(std::uint64_t length) const noexcept {
        return length & ~(bytes() - 1);
    }

private:
    unsigned bits_;
};

}  // namespace qed
