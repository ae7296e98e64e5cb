// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/zeroed_array.hpp"

namespace qed {

/// Keys of entries that have left a queue, remembered for a span of bytes. Not thread-safe.
///
/// Its clock counts bytes that pass the queue; a key's age is the bytes since its stamp. Keys lie
/// in buckets of four, eight bytes each, so memory is fixed and both operations touch one cache
/// line. In a full bucket a new key replaces the oldest. Two keys with the same fingerprint count
/// as one; the user of the table must tolerate that.
class GhostTable {
public:
    /// Forgets everything. Then remembers keys up to an age of `span_bytes`, at most `keys` rounded
    /// up to a power of two. If memory is exhausted, it remembers nothing.
    void reset(std::size_t keys, std::uint64_t span_bytes) noexcept;

    void advance(std::uint64_t bytes) noexcept { now_ += bytes; }

    /// Remembers `key`, a hash, as if `bytes_ago` bytes had passed since.
    void remember(std::uint64_t key, std::uint64_t bytes_ago) noexcept;

    /// Forgets `key` and returns its age in bytes, or nothing if it was not remembered.
    std::optional<std::uint64_t> take(std::uint64_t key) noexcept;

    std::size_t memory_bytes() const noexcept { return buckets_.size() * sizeof(Bucket); }

private:
    struct Ghost {
        std::uint32_t fingerprint = 0;
        std::uint32_t stamp = 0;
    };
    struct alignas(32) Bucket {
        std::array<Ghost, 4> ghosts;
    };

    Bucket& bucket_of(std::uint64_t key) const noexcept {
        return buckets_[key & (buckets_.size() - 1)];
    }
    /// Stamps count in units that let them last for thousands of spans before they wrap.
    std::uint32_t stamp(std::uint64_t time) const noexcept {
        return static_cast<std::uint32_t>(time >> unit_shift_);
    }

    ZeroedArray<Bucket> buckets_;  // takes memory as it fills, so that an unused budget is free
    std::uint64_t span_bytes_ = 0;
    std::uint64_t now_ = 0;
    int unit_shift_ = 0;
};

}  // namespace qed
