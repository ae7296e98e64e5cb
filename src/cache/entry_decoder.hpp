// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/entry.hpp"

namespace qed {

/// The seam between the cache and a format: the meaning of raw table entries. The format implements
/// it. The cache calls it once for each slice that it reads, never in a lookup. Thread-safe:
/// different slices are decoded at the same time.
class EntryDecoder {
public:
    virtual ~EntryDecoder() = default;
    /// Turns `raw`, entries as they are in the file, into `entries`. The first of them has index
    /// `first` in the second-level table at file offset `table`. Some entries may be past the end
    /// of the image.
    virtual void decode(std::uint64_t table, std::uint64_t first, std::span<const std::byte> raw,
                        std::span<Entry> entries) const noexcept = 0;
};

}  // namespace qed
