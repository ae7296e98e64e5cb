// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

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
inline bool continues(const MapLine& run, const MappedExtent& next, bool has_offset) {
    const MappedExtent& last = run.extent;
    if (last.start + last.length != next.start || last.depth != next.depth) return false;
    if (last.data != next.data || last.zero != next.zero) return false;
    if (last.present != next.present || run.has_offset != has_offset) return false;
    return !has_offset || last.file_offset + last.length == next.file_offset;
}

/// Writes numbers of which each is mostly a little larger than the one before: addresses. The
/// digits above the lowest eight are kept from one to the next.
class DecimalRow {
public:
    static constexpr std::size_t kMaxBytes = 20;
    /// \param out  room for kMaxBytes, of which more may be overwritten than the number takes
    /// \returns the end of the number
    char* write(char* out, std::uint64_t value);

private:
    std::uint64_t high_ = 0;
    std::array<char, 12> high_text_{};
    std::size_t high_bytes_ = 0;
};

/// The text of extents as `qemu-img map` prints them.
class MapLines {
public:
    /// \param room  bytes that are taken at once
    MapLines(bool json, std::size_t room);
    /// In JSON each line begins with the comma behind the one before it.
    void add(const MapLine& line);
    std::string_view text() const { return {text_.data(), text_.size()}; }
    void clear() { text_.clear(); }

private:
    /// The part of a line that most lines share: those of a scattered disk differ in addresses.
    struct Between {
        std::uint64_t length = 0;
        unsigned depth = 0;
        bool present = false;
        bool zero = false;
        bool has_offset = false;
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
