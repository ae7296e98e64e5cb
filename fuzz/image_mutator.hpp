// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qed::fuzz {

/// A small random number generator: the same seed gives the same mutations everywhere.
class Chance {
public:
    explicit Chance(std::uint64_t seed) noexcept : state_(seed * 2 + 1) {}
    std::uint64_t next() noexcept;
    /// 0 .. bound - 1; 0 for a bound of 0.
    std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : next() % bound; }

private:
    std::uint64_t state_;
};

/// The offset of the image in an input; each target for images defines it.
std::size_t image_at() noexcept;

/// Damages an image in typical ways: a field of its header, an entry of a table, the end of the
/// file, a cluster that another entry names. The result has at most `limit` bytes. The first `skip`
/// bytes, which precede the image, do not change.
void mutate_image(std::vector<std::uint8_t>& bytes, std::size_t skip, std::size_t limit,
                  Chance& chance);

}  // namespace qed::fuzz
