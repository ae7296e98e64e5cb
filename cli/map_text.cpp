// SPDX-License-Identifier: Apache-2.0
#include "cli/map_text.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace qed::cli {
namespace {

constexpr std::size_t kWriteBytes = 64U << 10U;

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

void MapText::add_json(const MapLine& line) {
    // Maps have millions of lines: a format string would take most of the command's time.
    const auto put = [this](std::string_view key, std::string_view value) {
        text_.append(key.data(), key.data() + key.size());
        text_.append(value.data(), value.data() + value.size());
    };
    const auto put_number = [&put](std::string_view key, std::uint64_t value) {
        const fmt::format_int digits(value);
        put(key, {digits.data(), digits.size()});
    };
    const auto put_bool = [&put](std::string_view key, bool value) {
        put(key, value ? "true" : "false");
    };
    const MappedExtent& extent = line.extent;
    put_number(count_ == 0 ? R"({ "start": )"
                           : ",\n"
                             R"({ "start": )",
               extent.start);
    put_number(R"(, "length": )", extent.length);
    put_number(R"(, "depth": )", extent.depth);
    put_bool(R"(, "present": )", extent.present);
    put_bool(R"(, "zero": )", extent.zero);
    put_bool(R"(, "data": )", extent.data);
    if (line.has_offset) put_number(R"(, "offset": )", extent.file_offset.value);
    text_.push_back('}');
    ++count_;
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
