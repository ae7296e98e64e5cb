// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed::cli {

/// One kind of use of space in a picture.
struct Shade {
    std::string_view key;   ///< CSS class
    std::string_view name;  ///< for people
};
inline constexpr std::size_t kShades = 4;
using Shades = std::array<Shade, kShades>;

/// A range of space in equal cells, each with its number of bytes of each kind.
struct SpaceMap {
    Shades shades;
    std::uint64_t bytes = 0;
    std::uint64_t cell_bytes = 1;
    std::vector<std::array<std::uint64_t, kShades>> cells;

    std::array<std::uint64_t, kShades> totals() const;
};

/// The position of the guest's data in the file: a coarse grid over both spaces. A cell is set if
/// some data of the guest's column lies in the file's row.
struct OrderMap {
    static constexpr std::size_t kColumns = 256;  ///< of the guest's space
    static constexpr std::size_t kRows = 128;     ///< of the file's space
    std::vector<bool> cells = std::vector<bool>(kColumns * kRows);

    bool at(std::size_t column, std::size_t row) const { return cells[row * kColumns + column]; }
};

/// The data of a map of a disk, gathered from the image and its tables.
struct MapPicture {
    struct Layer {
        std::string file;
        std::string format;
        std::uint64_t disk_bytes = 0;
        std::uint64_t file_bytes = 0;
        std::uint64_t allocated_bytes = 0;
    };
    std::vector<Layer> layers;  ///< from the top
    Header header;
    SpaceMap guest;
    SpaceMap file;
    OrderMap order;
    std::uint64_t data_clusters = 0;
    std::uint64_t zero_clusters = 0;
    std::uint64_t bad_entries = 0;
    std::uint64_t runs = 0;         ///< ranges of guest data that are contiguous in the file
    std::uint64_t longest_run = 0;  ///< clusters
};

/// \errors unsupported for raw disks; those of mapping and reading
Result<MapPicture> draw_map(Image& image);

/// The whole page, and only the picture of the disk. Neither needs the network.
std::string map_html(const MapPicture& picture);
std::string map_svg(const MapPicture& picture);

/// Escapes text for HTML and SVG.
std::string escape_markup(std::string_view text);
/// The grid of one space as an SVG element with `id`.
std::string space_svg(const SpaceMap& space, std::string_view id, std::string_view label,
                      std::string_view style);

}  // namespace qed::cli
