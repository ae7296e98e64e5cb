// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qed::cache_sim {

/// A guest request: `length` bytes at `offset`.
struct Request {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;

    bool operator==(const Request&) const = default;
};

/// A named sequence of requests, in the order they were made.
struct Trace {
    std::string name;
    std::vector<Request> requests;
};

/// Larger offsets and lengths are rejected: no QED image is larger than 2^63 bytes.
inline constexpr std::uint64_t kMaxOffset = std::uint64_t{1} << 63;

/// The longest accepted request. A longer one is probably a wrong column.
inline constexpr std::uint64_t kMaxRequestBytes = std::uint64_t{1} << 30;

/// `copies` volumes with the same trace. Each starts at a different position of the trace and wraps
/// around; their requests are shuffled together. The offsets of copy n are increased by
/// n * `stride_bytes`.
///
/// \param copies        1 or more
/// \param stride_bytes  at least the end of the highest request
/// \param seed          the same seed gives the same order
Trace interleave_volumes(const Trace& trace, std::uint32_t copies, std::uint64_t stride_bytes,
                         std::uint64_t seed);

/// The first byte after the highest request, or 0 for an empty trace.
std::uint64_t end_of(const Trace& trace);

}  // namespace qed::cache_sim
