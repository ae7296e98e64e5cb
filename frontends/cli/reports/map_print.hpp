// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cli/terminal/console.hpp"
#include "qed/image.hpp"

namespace qed::cli {

struct MapRange {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

struct MapPrinting {
    bool json = false;
    unsigned threads = 1;  ///< at most
};

/// Prints the extents of a range like `qemu-img map`. Several threads share the work if there are
/// many extents. Memory is a few MiB for any number of extents.
/// \errors  those of map_extents(); extents found before the failure are printed
Result<void> print_map(Image& image, MapRange range, const MapPrinting& how, Console& console);

}  // namespace qed::cli
