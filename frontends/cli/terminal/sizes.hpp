// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "qed/error.hpp"

namespace qed::cli {

/// The limit of sizes and offsets of a disk: the range of off_t.
inline constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 63U;

/// Parses a size such as `512`, `0x1000`, `64K`, `1.5T` or `10GiB` into bytes. Suffixes are powers
/// of 1024 in either case, with or without `iB`; `b` is one byte. A fraction of a byte is dropped.
/// \errors invalid_argument; `what` names the value in the message
Result<std::uint64_t> parse_size(std::string_view text, std::string_view what);

/// A count or other plain number in [`lowest`, `highest`], decimal or 0x.
Result<std::uint64_t> parse_number(std::string_view text, std::string_view what,
                                   std::uint64_t lowest, std::uint64_t highest);

/// Formats a size such as `1.5 GiB`: three digits, in the unit in which it is below 1000.
std::string human_size(std::uint64_t bytes);

}  // namespace qed::cli
