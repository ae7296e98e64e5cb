// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "cli/console.hpp"
#include "qed/image.hpp"

namespace qed::cli {

/// An extent, and whether its bytes have a place in a file (holes of raw files have).
struct MapLine {
    MappedExtent extent;
    bool has_offset = false;
};
/// How much of a range the same layers of the chain cover: backing files may be shorter.
std::uint64_t uniform_length(const Image& top, std::uint64_t at, std::uint64_t length);
MapLine map_line(const Image& top, const MappedExtent& extent);
/// Whether `next` lies directly behind `run` and says the same of its bytes.
bool continues(const MapLine& run, const MapLine& next);

/// Prints extents as `qemu-img map` does, in large pieces: maps have many lines.
class MapText {
public:
    MapText(bool json, Console& console);
    void add(const MapLine& line);
    void end();

private:
    /// The part of a line that most lines share: those of a scattered disk differ in addresses.
    struct Between {
        std::uint64_t length = 0;
        unsigned depth = 0;
        bool present = false;
        bool zero = false;
        std::string text;

        bool is_of(const MappedExtent& extent) const {
            return extent.length == length && extent.depth == depth && extent.present == present &&
                   extent.zero == zero;
        }
    };

    void add_json(const MapLine& line);
    std::string_view between_addresses(const MappedExtent& extent);
    void add_human(const MapLine& line);

    bool json_;
    Console& console_;
    fmt::memory_buffer text_;
    std::uint64_t count_ = 0;
    std::array<Between, 2> between_;  ///< for lines without and with data
};

}  // namespace qed::cli
