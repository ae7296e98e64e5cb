// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/sizes.hpp"

#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace qed::cli {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::string_view kUnits = "bkmgtpe";

std::unexpected<Error> not_a_size(std::string_view text, std::string_view what) {
    return fail(Errc::invalid_argument,
                fmt::format("{}: '{}' is not a size; write bytes, or a number with K, M, G, T, P "
                            "or E, such as 512, 64K or 1.5T",
                            what, text));
}

/// The bits of the power of 1024 that a suffix means.
std::optional<unsigned> unit_shift(std::string_view suffix) {
    if (suffix.empty()) return 0;
    const std::string_view rest = suffix.substr(1);
    const char letter = static_cast<char>(suffix[0] | 0x20);
    const std::size_t unit = kUnits.find(letter);
    if (unit == std::string_view::npos) return std::nullopt;
    if (!rest.empty() && (unit == 0 || rest != "iB")) return std::nullopt;
    return static_cast<unsigned>(unit * 10);
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

struct Decimal {
    std::uint64_t whole = 0;
    std::uint64_t fraction = 0;  ///< in units of 1/scale
    std::uint64_t scale = 1;
    bool has_point = false;
    std::string_view rest;
};

/// Splits `123.45K`. Drops digits of the fraction after the 18th, which are less than a byte.
std::optional<Decimal> split_decimal(std::string_view text) {
    Decimal number;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number.whole, 10);
    if (error != std::errc{}) return std::nullopt;
    number.rest = text.substr(static_cast<std::size_t>(end - text.data()));
    if (!number.rest.starts_with('.')) return number;
    number.has_point = true;
    number.rest.remove_prefix(1);
    while (!number.rest.empty() && is_digit(number.rest[0])) {
        if (number.scale < 1'000'000'000'000'000'000U) {
            number.fraction = number.fraction * 10 + static_cast<unsigned>(number.rest[0] - '0');
            number.scale *= 10;
        }
        number.rest.remove_prefix(1);
    }
    return number;
}

std::optional<Decimal> split(std::string_view text) {
    if (!text.starts_with("0x") && !text.starts_with("0X")) return split_decimal(text);
    Decimal number;
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + 2, end, number.whole, 16);
    // A suffix after hexadecimal digits would be ambiguous: 0x1b, 0x1e.
    if (error != std::errc{} || at != end) return std::nullopt;
    return number;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text, std::string_view what) {
    const auto number = split(text);
    if (!number) return not_a_size(text, what);
    const auto shift = unit_shift(number->rest);
    if (!shift || (number->has_point && *shift == 0)) return not_a_size(text, what);
    const Wide bytes =
        (Wide{number->whole} << *shift) + ((Wide{number->fraction} << *shift) / number->scale);
    if (bytes >= kMaxSize) {
        return fail(Errc::invalid_argument,
                    fmt::format("{}: '{}' is too large, at most {} bytes (8E - 1)", what, text,
                                kMaxSize - 1));
    }
    return static_cast<std::uint64_t>(bytes);
}

Result<std::uint64_t> parse_number(std::string_view text, std::string_view what,
                                   std::uint64_t lowest, std::uint64_t highest) {
    const auto number = split(text);
    const bool is_plain = number && number->rest.empty() && !number->has_point;
    if (!is_plain || number->whole < lowest || number->whole > highest) {
        return fail(Errc::invalid_argument, fmt::format("{}: '{}' is not a number from {} to {}",
                                                        what, text, lowest, highest));
    }
    return number->whole;
}

std::string human_size(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 7> names = {"B",   "KiB", "MiB", "GiB",
                                                       "TiB", "PiB", "EiB"};
    std::size_t unit = 0;
    auto value = static_cast<double>(bytes);
    while (value >= 1000 && unit + 1 < names.size()) {
        value /= 1024;
        ++unit;
    }
    if (value >= 999.5) return fmt::format("{:.0f} {}", value, names[unit]);
    return fmt::format("{:.3g} {}", value, names[unit]);
}

}  // namespace qed::cli
