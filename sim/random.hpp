// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace qed::sim {

/// One step of splitmix64: a good 64-bit mix of `value`.
constexpr std::uint64_t mix(std::uint64_t value) noexcept {
    value += 0x9E3779B97F4A7C15U;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9U;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBU;
    return value ^ (value >> 31);
}

/// The only source of random choices in a simulation: the same seed gives the same choices.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_(mix(seed)) {}

    std::uint64_t next() noexcept { return mix(state_ += 0x9E3779B97F4A7C15U); }
    /// 0 .. bound - 1; 0 when the bound is 0.
    std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : next() % bound; }
    std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept {
        return low + below(high - low + 1);
    }
    bool chance(std::uint64_t in, std::uint64_t of) noexcept { return below(of) < in; }

private:
    std::uint64_t state_;
};

}  // namespace qed::sim
