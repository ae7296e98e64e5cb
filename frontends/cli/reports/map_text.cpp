// SPDX-License-Identifier: Apache-2.0
#include "cli/reports/map_text.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

#include <fmt/compile.h>

namespace qed::cli {
namespace {

constexpr std::size_t kMaxJsonBytes = 256;  // per line

/// `0x10000`, and `0` for zero.
std::string hexadecimal(std::uint64_t value) {
    return value == 0 ? "0" : fmt::format("{:#x}", value);
}

/// The digits of 0 to 99, two for each.
constexpr std::array<char, 200> kPairs = [] {
    std::array<char, 200> pairs{};
    for (std::size_t i = 0; i < 100; ++i) {
        pairs[2 * i] = static_cast<char>('0' + i / 10);
        pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
    return pairs;
}();

void put_pair(char* out, std::uint32_t below_100) {
    std::memcpy(out, &kPairs[2 * std::size_t{below_100}], 2);
}

void put_four(char* out, std::uint32_t below_10000) {
    put_pair(out, below_10000 / 100);
    put_pair(out + 2, below_10000 % 100);
}

}  // namespace

char* DecimalRow::write(char* out, std::uint64_t value) {
    constexpr std::uint32_t kLow = 100'000'000;
    const std::uint64_t high = value / kLow;
    if (high == 0) return fmt::format_to(out, FMT_COMPILE("{}"), value);
    if (high != high_) {
        high_ = high;
        high_bytes_ = fmt::format_to_n(high_text_.data(), high_text_.size(), "{}", high).size;
    }
    // Constant sizes compile to one or two moves; the surplus bytes are overwritten later.
    std::memcpy(out, high_text_.data(), high_text_.size());
    out += high_bytes_;
    const auto low = static_cast<std::uint32_t>(value % kLow);
    put_four(out, low / 10000);
    put_four(out + 4, low % 10000);
    return out + 8;
}

std::uint64_t uniform_length(const Image& top, std::uint64_t at, std::uint64_t length) {
    for (const Image* layer = &top; layer != nullptr; layer = layer->backing()) {
        if (at < layer->size()) length = std::min(length, layer->size() - at);
    }
    return length;
}

MapLine map_line(const Image& top, const MappedExtent& extent) {
    MapLine line{extent, extent.data && !extent.compressed};
    const Image* layer = &top;
    for (unsigned depth = 0; depth < extent.depth && layer != nullptr; ++depth) {
        layer = layer->backing();
        // Past the end of a layer, the layer above it is the last one that can hold data.
        if (layer != nullptr && !extent.present && extent.start >= layer->size()) {
            line.extent.depth = depth;
            return line;
        }
    }
    if (extent.present && layer != nullptr && layer->is_raw()) {
        line.has_offset = true;
        line.extent.file_offset = FileOffset{extent.start};
    }
    return line;
}

MapLines::MapLines(bool json, std::size_t room) : json_(json) {
    text_.reserve(room);
}

void MapLines::add(const MapLine& line) {
    if (json_) {
        add_json(line);
    } else if (line.extent.data && !line.extent.zero) {
        add_human(line);
    }
}

bool MapLines::Between::is_of(const MapLine& line) const {
    const MappedExtent& extent = line.extent;
    return text_bytes != 0 && extent.length == length && extent.depth == depth &&
           extent.present == present && extent.zero == zero && extent.compressed == compressed &&
           line.has_offset == has_offset;
}

void MapLines::Between::write(const MapLine& line) {
    const MappedExtent& extent = line.extent;
    length = extent.length;
    depth = extent.depth;
    present = extent.present;
    zero = extent.zero;
    has_offset = line.has_offset;
    compressed = extent.compressed;
    const auto written = fmt::format_to_n(
        text.data(), text.size(),
        R"(, "length": {}, "depth": {}, "present": {}, "zero": {}, "data": {}{}{})", length, depth,
        present, zero, extent.data, compressed ? R"(, "compressed": true)" : "",
        has_offset ? R"(, "offset": )" : "");
    text_bytes = written.size;
}

void MapLines::add_json(const MapLine& line) {
    text_.reserve(text_.size() + kMaxJsonBytes);
    char* out = text_.data() + text_.size();
    constexpr std::string_view head = ",\n{ \"start\": ";
    std::memcpy(out, head.data(), head.size());
    out += head.size();
    out = starts_.write(out, line.extent.start);
    Between& between = between_[line.extent.data ? 1 : 0];
    if (!between.is_of(line)) between.write(line);
    std::memcpy(out, between.text.data(), between.text.size());
    out += between.text_bytes;
    if (line.has_offset) out = offsets_.write(out, line.extent.file_offset.value);
    *out++ = '}';
    text_.resize(static_cast<std::size_t>(out - text_.data()));
}

void MapLines::add_human(const MapLine& line) {
    const MappedExtent& extent = line.extent;
    fmt::format_to(std::back_inserter(text_), "{:<16}{:<16}{:<16}{}\n", hexadecimal(extent.start),
                   hexadecimal(extent.length),
                   extent.compressed ? "compressed" : hexadecimal(extent.file_offset.value),
                   printable(extent.file_name));
}

}  // namespace qed::cli
