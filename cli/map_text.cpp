// SPDX-License-Identifier: Apache-2.0
#include "cli/map_text.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

namespace qed::cli {
namespace {

constexpr std::size_t kWriteBytes = 256U << 10U;
constexpr std::size_t kMaxJsonBytes = 256;  // of one line

/// `0x10000`, and `0` for zero.
std::string hexadecimal(std::uint64_t value) {
    return value == 0 ? "0" : fmt::format("{:#x}", value);
}

}  // namespace

std::uint64_t uniform_length(const Image& top, std::uint64_t at, std::uint64_t length) {
    for (const Image* layer = &top; layer != nullptr; layer = layer->backing()) {
        if (at < layer->size()) length = std::min(length, layer->size() - at);
    }
    return length;
}

MapLine map_line(const Image& top, const MappedExtent& extent) {
    MapLine line{extent, extent.data};
    const Image* layer = &top;
    for (unsigned depth = 0; depth < extent.depth && layer != nullptr; ++depth) {
        layer = layer->backing();
        // Behind the end of a layer the one above it is the last that is asked.
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

bool continues(const MapLine& run, const MapLine& next) {
    const MappedExtent& a = run.extent;
    const MappedExtent& b = next.extent;
    if (a.start + a.length != b.start || a.depth != b.depth) return false;
    if (a.data != b.data || a.zero != b.zero || a.present != b.present) return false;
    if (run.has_offset != next.has_offset) return false;
    return !run.has_offset || a.file_offset + a.length == b.file_offset;
}

MapText::MapText(bool json, Console& console) : json_(json), console_(console) {
    if (!json_) {
        fmt::format_to(std::back_inserter(text_), "{:<16}{:<16}{:<16}{}\n", "Offset", "Length",
                       "Mapped to", "File");
    } else {
        text_.push_back('[');
    }
}

void MapText::add(const MapLine& line) {
    if (json_) {
        add_json(line);
    } else if (line.extent.data && !line.extent.zero) {
        add_human(line);
    }
    if (text_.size() >= kWriteBytes) {
        console_.write({text_.data(), text_.size()});
        text_.clear();
    }
}

std::string_view MapText::between_addresses(const MappedExtent& extent) {
    Between& kept = between_[extent.data ? 1 : 0];
    if (kept.text.empty() || !kept.is_of(extent)) {
        kept = {extent.length, extent.depth, extent.present, extent.zero,
                fmt::format(R"(, "length": {}, "depth": {}, "present": {}, "zero": {}, "data": {})",
                            extent.length, extent.depth, extent.present, extent.zero, extent.data)};
    }
    return kept.text;
}

void MapText::add_json(const MapLine& line) {
    text_.reserve(text_.size() + kMaxJsonBytes);
    char* out = text_.data() + text_.size();
    const auto put = [&out](std::string_view text) {
        std::memcpy(out, text.data(), text.size());
        out += text.size();
    };
    const auto put_number = [&put](std::uint64_t value) {
        const fmt::format_int digits(value);
        put({digits.data(), digits.size()});
    };
    put(count_++ == 0 ? R"({ "start": )"
                      : ",\n"
                        R"({ "start": )");
    put_number(line.extent.start);
    put(between_addresses(line.extent));
    if (line.has_offset) {
        put(R"(, "offset": )");
        put_number(line.extent.file_offset.value);
    }
    *out++ = '}';
    text_.resize(static_cast<std::size_t>(out - text_.data()));
}

void MapText::add_human(const MapLine& line) {
    const MappedExtent& extent = line.extent;
    fmt::format_to(std::back_inserter(text_), "{:<16}{:<16}{:<16}{}\n", hexadecimal(extent.start),
                   hexadecimal(extent.length), hexadecimal(extent.file_offset.value),
                   printable(extent.file_name));
}

void MapText::end() {
    if (json_) {
        constexpr std::string_view tail = "]\n";
        text_.append(tail.data(), tail.data() + tail.size());
    }
    console_.write({text_.data(), text_.size()});
    text_.clear();
}

}  // namespace qed::cli
