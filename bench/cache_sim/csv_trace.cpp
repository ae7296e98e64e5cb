// SPDX-License-Identifier: Apache-2.0
#include "csv_trace.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "workload.hpp"

namespace qed::cache_sim {
namespace {

constexpr std::size_t kMaxLineBytes = 256;
constexpr std::size_t kBlockColumns = 5;
constexpr std::size_t kOffsetColumns = 2;
constexpr std::uint64_t kSectorBytes = 512;

using Fields = std::vector<std::string_view>;

Fields split(std::string_view line) {
    Fields fields;
    for (;;) {
        const std::size_t comma = line.find(',');
        fields.push_back(line.substr(0, comma));
        if (comma == std::string_view::npos) return fields;
        line.remove_prefix(comma + 1);
    }
}

std::expected<std::uint64_t, std::string> parse_number(std::string_view what, std::string_view text,
                                                       std::uint64_t limit) {
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number);
    if (parsed.ec == std::errc::result_out_of_range || (parsed.ptr == end && number > limit)) {
        return std::unexpected(fmt::format("{} is {}, want at most {}", what, text, limit));
    }
    if (parsed.ec != std::errc{} || parsed.ptr != end) {
        return std::unexpected(fmt::format("{} is \"{}\", want a decimal number", what, text));
    }
    return number;
}

std::expected<Request, std::string> parse_request(const Fields& fields, CsvFormat format) {
    const bool block = format == CsvFormat::block;
    const std::size_t columns = block ? kBlockColumns : kOffsetColumns;
    if (fields.size() != columns) {
        return std::unexpected(
            fmt::format("found {} columns, want {} ({})", fields.size(), columns,
                        block ? "version,time,op,size_bytes,lba512" : "offset,length"));
    }
    const auto length = block ? parse_number("size_bytes", fields[3], kMaxRequestBytes)
                              : parse_number("length", fields[1], kMaxRequestBytes);
    if (!length) return std::unexpected(length.error());
    constexpr std::uint64_t kLimit = kMaxOffset - kMaxRequestBytes;
    const auto offset = block ? parse_number("lba512", fields[4], kLimit / kSectorBytes)
                              : parse_number("offset", fields[0], kLimit);
    if (!offset) return std::unexpected(offset.error());
    return Request{*offset * (block ? kSectorBytes : 1), *length};
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::optional<CsvFormat> recognize(std::size_t columns) {
    if (columns == kBlockColumns) return CsvFormat::block;
    if (columns == kOffsetColumns) return CsvFormat::offset;
    return std::nullopt;
}

}  // namespace

std::expected<Trace, std::string> read_csv_trace(std::istream& input, const std::string& name,
                                                 CsvFormat format) {
    Trace trace{name, {}};
    std::array<char, kMaxLineBytes + 1> buffer{};
    std::uint64_t number = 0;
    const auto fail = [&](std::string_view what) {
        return std::unexpected(fmt::format("{}, line {}: {}", name, number, what));
    };
    while (input.getline(buffer.data(), buffer.size())) {
        ++number;
        std::string_view line(buffer.data());
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) continue;
        const Fields fields = split(line);
        if (format == CsvFormat::automatic) {
            const auto recognized = recognize(fields.size());
            if (!recognized) {
                return fail(
                    fmt::format("found {} columns, want 5 (version,time,op,size_bytes,"
                                "lba512) or 2 (offset,length)",
                                fields.size()));
            }
            format = *recognized;
        }
        if (number == 1 && !is_digit(line.front())) continue;
        if (trace.requests.size() == kMaxLookups) {
            return fail(fmt::format("more than {} requests; cut the file", kMaxLookups));
        }
        const auto request = parse_request(fields, format);
        if (!request) return fail(request.error());
        trace.requests.push_back(*request);
    }
    if (input.bad()) return std::unexpected(fmt::format("{}: cannot be read", name));
    if (!input.eof()) {
        ++number;
        return fail(fmt::format("longer than {} bytes; is this a CSV file?", kMaxLineBytes));
    }
    if (trace.requests.empty()) return std::unexpected(fmt::format("{}: holds no request", name));
    return trace;
}

}  // namespace qed::cache_sim
