// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace qed::cache_sim {

/// Reads a size: digits, optionally a fraction, optionally K, M, G or T (powers of 1024; "KiB" and
/// "KB" mean the same).
///
/// \errors  not a size, not a whole number of bytes, or more than 2^62 bytes
std::expected<std::uint64_t, std::string> parse_bytes(std::string_view text);

/// `bytes` with the largest unit that leaves at most two decimals: "12.5 MiB", "4 KiB", "100 B".
std::string format_bytes(std::uint64_t bytes);

}  // namespace qed::cache_sim
