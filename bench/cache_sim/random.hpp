// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace qed::cache_sim {

/// Random numbers that are the same with every standard library, unlike std distributions.
class Random {
public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}

    /// 0 .. bound - 1
    std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }

    /// 0 <= x < 1
    double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

private:
    std::mt19937_64 engine_;
};

/// Ranks 0 .. count - 1, rank r with a probability proportional to (r + 1)^-exponent.
class Zipf {
public:
    Zipf(std::size_t count, double exponent) : cumulative_(count) {
        double sum = 0;
        for (std::size_t rank = 0; rank < count; ++rank) {
            sum += std::pow(static_cast<double>(rank + 1), -exponent);
            cumulative_[rank] = sum;
        }
    }

    std::uint64_t operator()(Random& random) const {
        const double point = random.unit() * cumulative_.back();
        const auto found = std::ranges::upper_bound(cumulative_, point);
        return static_cast<std::uint64_t>(found - cumulative_.begin());
    }

private:
    std::vector<double> cumulative_;
};

/// A hash of any number (splitmix64).
inline std::uint64_t mix(std::uint64_t number) {
    number = (number + 1) * 0x9e3779b97f4a7c15;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

/// A fixed, well mixed position in 0 .. bound - 1 for each number.
inline std::uint64_t scatter(std::uint64_t number, std::uint64_t bound) {
    return mix(number) % bound;
}

}  // namespace qed::cache_sim
