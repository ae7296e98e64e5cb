// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "qed/image.hpp"

namespace qed::cli {

/// An extent, and whether its bytes have an offset in a file (holes of raw files have one).
struct MapLine {
    MappedExtent extent;
    bool has_offset = false;
};
/// The length of the part of a range that the same layers cover: backing files may be shorter.
std::uint64_t uniform_length(const Image& top, std::uint64_t at, std::uint64_t length);
MapLine map_line(const Image& top, const MappedExtent& extent);
/// Whether `next` directly follows `run` and is of the same kind.
inline bool continues(const MapLine& run, const MappedExtent& next, bool has_offset) {
    const MappedExtent& last = run.extent;
    if (last.start + last.length != next.start || last.depth != next.depth) return false;
    if (last.data != next.data || last.zero != next.zero) return false;
    if (last.present != next.present || last.compressed != next.compressed) return false;
    if (run.has_offset != has_offset) return false;
    return !has_offset || last.file_offset + last.length == next.file_offset;
}

/// Writes numbers that mostly increase by a little, such as addresses. Keeps the digits above the
/// lowest eight between two numbers.
class DecimalRow {
public:
    static constexpr std::size_t kMaxBytes = 20;
    /// \param out  kMaxBytes of memory; bytes after the number may be overwritten
    /// \returns the end of the number
    char* write(char* out, std::uint64_t value);

private:
    std::uint64_t high_ = 0;
    std::array<char, 12> high_text_{};
    std::size_t high_bytes_ = 0;
};

/// The text of extents in the format of `qemu-img map`.
class MapLines {
public:
    /// \param room  bytes to reserve
    MapLines(bool json, std::size_t room);
    /// In JSON each line starts with the comma that follows the previous line.
    void add(const MapLine& line);
    std::string_view text() const { return {text_.data(), text_.size()}; }
    void clear() { text_.clear(); }

private:
    /// The part that most lines share: the lines of a scattered disk differ only in addresses.
    struct Between {
        std::uint64_t length = 0;
        unsigned depth = 0;
        bool present = false;
        bool zero = false;
        bool has_offset = false;
        bool compressed = false;
        std::array<char, 128> text;
        std::size_t text_bytes = 0;

        bool is_of(const MapLine& line) const;
        void write(const MapLine& line);
    };

    void add_json(const MapLine& line);
    void add_human(const MapLine& line);

    bool json_;
    fmt::memory_buffer text_;
    DecimalRow starts_;
    DecimalRow offsets_;
    std::array<Between, 2> between_;  ///< for lines without and with data
};

}  // namespace qed::cli
