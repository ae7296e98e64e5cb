// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qed::fuzz {

/// A small generator of chance: the same seed gives the same mutations everywhere.
class Chance {
public:
    explicit Chance(std::uint64_t seed) noexcept : state_(seed * 2 + 1) {}
    std::uint64_t next() noexcept;
    /// 0 .. bound - 1; 0 for a bound of 0.
    std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : next() % bound; }

private:
    std::uint64_t state_;
};

/// Where in an input the image begins; each target on images says so.
std::size_t image_at() noexcept;

/// Changes an image the way images go wrong: a field of its header, an entry of a table, where the
/// file ends, a cluster that is somebody else's. At most `limit` bytes long afterwards.
/// `skip`: bytes before the image, which stay as they are.
void mutate_image(std::vector<std::uint8_t>& bytes, std::size_t skip, std::size_t limit,
                  Chance& chance);

}  // namespace qed::fuzz
