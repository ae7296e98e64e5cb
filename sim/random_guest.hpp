// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sim/machine.hpp"
#include "sim/operation.hpp"
#include "sim/random.hpp"

namespace qed::sim {

/// A random image with small tables and a tiny cache. With `chases_tables` it has several tables,
/// which are read ahead.
ImageSetup random_setup(Random& random, bool chases_tables);

/// Requests that conflict with each other: most go to a few clusters, to the ends of tables, and to
/// the end of the disk.
class RandomGuest {
public:
    /// \param chases_tables  most requests load or change tables everywhere on the disk
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
    std::uint64_t compact_weight_;
};

}  // namespace qed::sim
