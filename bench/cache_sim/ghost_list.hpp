// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "policy.hpp"

namespace qed::cache_sim {

/// Keys of entries that have left one queue, remembered for a span of bytes.
///
/// Its clock counts bytes that pass the queue; a key is stamped when it is remembered, and its age
/// is what has passed since. A key older than the span counts as forgotten. Keys are kept in
/// buckets of four, so the memory is fixed; where a bucket is full the oldest key in it makes room.
class GhostList {
public:
    /// \param slots       keys that fit; rounded up to a power of two, at least 64
    /// \param span_bytes  age beyond which a key is forgotten
    GhostList(std::size_t slots, std::uint64_t span_bytes);

    void advance(std::uint64_t bytes) { now_ += bytes; }

    /// Remembers `key` as if that had happened when the clock was `head_start` bytes behind.
    void remember(EntryId key, std::uint64_t head_start);

    /// Forgets `key` and returns its age, or nothing if it was not remembered.
    std::optional<std::uint64_t> take(EntryId key);

private:
    struct Slot {
        EntryId key = kNone;
        std::uint64_t stamp = 0;
    };
    using Bucket = std::array<Slot, 4>;

    Bucket& bucket_of(EntryId key);

    std::vector<Bucket> buckets_;
    std::uint64_t span_bytes_;
    std::uint64_t now_;
};

}  // namespace qed::cache_sim
