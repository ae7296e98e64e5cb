// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sim/machine.hpp"
#include "sim/operation.hpp"
#include "sim/random.hpp"

namespace qed::sim {

/// An image of a random kind: small tables, a cache that holds next to nothing. `chases_tables`:
/// with several tables, which are read ahead.
ImageSetup random_setup(Random& random, bool chases_tables);

/// Requests that meet each other: most go to a few clusters, at table ends, at the disk's end.
class RandomGuest {
public:
    /// \param chases_tables  most requests load tables or change them all over the disk
    RandomGuest(const ImageSetup& setup, Random& random, bool chases_tables);

    /// The next request to a disk of `bytes`.
    Operation next(std::uint64_t bytes, bool may_resize);

private:
    std::uint64_t pick_offset(std::uint64_t bytes);
    std::uint64_t pick_length();
    Step pick_step();

    const ImageSetup& setup_;
    Random& random_;
    std::vector<std::uint64_t> hot_;  ///< clusters
    bool chases_tables_;
    std::uint64_t read_weight_;
    std::uint64_t write_weight_;
    std::uint64_t unmap_weight_;
    std::uint64_t flush_weight_;
};

}  // namespace qed::sim
