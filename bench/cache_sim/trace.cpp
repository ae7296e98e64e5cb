// SPDX-License-Identifier: Apache-2.0
#include "trace.hpp"

#include <algorithm>
#include <random>

#include <fmt/format.h>

namespace qed::cache_sim {

Trace interleave_volumes(const Trace& trace, std::uint32_t copies, std::uint64_t stride_bytes,
                         std::uint64_t seed) {
    const std::size_t length = trace.requests.size();
    // One element per request, naming its volume; shuffled, they are the order of the volumes.
    std::vector<std::uint32_t> volumes;
    volumes.reserve(length * copies);
    for (std::uint32_t volume = 0; volume < copies; ++volume) {
        volumes.insert(volumes.end(), length, volume);
    }
    std::mt19937_64 random(seed);
    for (std::size_t left = volumes.size(); left > 1; --left) {
        std::swap(volumes[left - 1], volumes[random() % left]);
    }

    std::vector<std::size_t> next(copies);
    for (std::uint32_t volume = 0; volume < copies; ++volume) {
        next[volume] = length * volume / copies;
    }
    Trace mixed{fmt::format("{} x {}", trace.name, copies), {}};
    mixed.requests.reserve(volumes.size());
    for (const std::uint32_t volume : volumes) {
        const Request& request = trace.requests[next[volume]];
        mixed.requests.push_back({volume * stride_bytes + request.offset, request.length});
        next[volume] = (next[volume] + 1) % length;
    }
    return mixed;
}

std::uint64_t end_of(const Trace& trace) {
    std::uint64_t end = 0;
    for (const Request& request : trace.requests) {
        end = std::max(end, request.offset + request.length);
    }
    return end;
}

}  // namespace qed::cache_sim
