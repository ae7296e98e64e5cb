// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/found.hpp"
#include "cache/slice_addressing.hpp"
#include "cache/slice_form.hpp"

namespace qed {

/// The meaning of the entries of one slice for a guest range. A small value that reads only the
/// memory that the word names. The caller (MappingReader) decides whether the result can be
/// trusted.
class SliceLookup {
public:
    explicit SliceLookup(const SliceAddressing& addressing) noexcept
        : addressing_(addressing),
          shape_(SliceShape::make(addressing.entry_bits(), addressing.cluster_bits())) {}

    const SliceAddressing& addressing() const noexcept { return addressing_; }
    const SliceShape& shape() const noexcept { return shape_; }

    /// The first extent of [at, at + length), up to the end of the slice.
    Found find(SliceWord word, GuestOffset at, std::uint64_t length) const noexcept;
    /// The answer for a range that lies in one cluster.
    Found found_one(Entry entry, GuestOffset at, std::uint64_t length) const noexcept {
        if (!is_data_entry(entry)) return Found::not_data(kind_of(entry), length);
        return Found::in_file(entry + addressing_.in_cluster(at), length);
    }
    /// The extents of [at, at + length), of which only `entries` are used. Neighbours of the same
    /// kind become one extent. Returns their number; `runs` has one element for each entry.
    std::size_t split(std::span<const Entry> entries, GuestOffset at, std::uint64_t length,
                      std::span<Mapping> runs) const noexcept;

private:
    static Mapping::Kind kind_of(Entry marker) noexcept {
        if (marker == kUnallocatedEntry) return Mapping::Kind::unallocated;
        if (marker == kEncodedEntry) return Mapping::Kind::encoded;
        return marker == kZeroEntry ? Mapping::Kind::zero : Mapping::Kind::corrupt;
    }
    std::uint32_t run_length(SliceWord word, std::uint32_t index, std::uint32_t limit,
                             Entry first) const noexcept;

    SliceAddressing addressing_;
    SliceShape shape_;
};

}  // namespace qed
