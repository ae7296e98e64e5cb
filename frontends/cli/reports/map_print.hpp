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

/// Prints where the data of a range is, in the words of `qemu-img map`. Where there are many
/// extents it is done by several threads; memory is a few MiB, however many there are.
/// \errors  those of map_extents(); what was found before the failure is printed
Result<void> print_map(Image& image, MapRange range, const MapPrinting& how, Console& console);

}  // namespace qed::cli
