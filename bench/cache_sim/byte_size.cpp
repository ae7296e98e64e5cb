// SPDX-License-Identifier: Apache-2.0
#include "byte_size.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

namespace qed::cache_sim {
namespace {

struct Unit {
    std::string_view name;
    int shift;
};
constexpr std::array kUnits{Unit{"TiB", 40}, Unit{"GiB", 30}, Unit{"MiB", 20}, Unit{"KiB", 10}};

std::optional<int> shift_of(std::string_view suffix) {
    if (suffix.empty() || suffix == "B") return 0;
    for (const Unit& unit : kUnits) {
        const bool short_form = suffix == unit.name.substr(0, 1);
        const bool decimal_form =
            suffix.size() == 2 && suffix[0] == unit.name[0] && suffix[1] == 'B';
        if (short_form || decimal_form || suffix == unit.name) return unit.shift;
    }
    return std::nullopt;
}

}  // namespace

std::expected<std::uint64_t, std::string> parse_bytes(std::string_view text) {
    double number = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    std::string_view suffix(parsed.ptr, end);
    if (suffix.starts_with(' ')) suffix.remove_prefix(1);
    const std::optional<int> shift = shift_of(suffix);
    if (parsed.ec != std::errc{} || !shift || !(number >= 0)) {
        return std::unexpected(
            fmt::format("\"{}\" is not a size; write for example 4096, 4K, 12.5M or 1T", text));
    }
    const double bytes = std::ldexp(number, *shift);
    if (bytes > 0x1p62) return std::unexpected(fmt::format("{} is more than 2^62 bytes", text));
    if (bytes != std::floor(bytes)) {
        return std::unexpected(fmt::format("{} is not a whole number of bytes", text));
    }
    return static_cast<std::uint64_t>(bytes);
}

std::string format_bytes(std::uint64_t bytes) {
    for (const Unit& unit : kUnits) {
        const double number = std::ldexp(static_cast<double>(bytes), -unit.shift);
        if (number < 1) continue;
        const double hundredths = number * 100;
        if (hundredths == std::floor(hundredths)) return fmt::format("{} {}", number, unit.name);
    }
    return fmt::format("{} B", bytes);
}

}  // namespace qed::cache_sim
