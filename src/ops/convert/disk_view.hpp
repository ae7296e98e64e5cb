// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "chain/chain_mapping.hpp"
#include "chain/layer.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// What lies at `at` of a disk, in at most `length` bytes. Past its end nothing is allocated.
Result<ChainMapping> disk_mapping(Image& image, std::uint64_t at, std::uint64_t length);

/// The same, but what the top `layers` of the chain do not allocate is `unallocated`, whatever the
/// layers below hold. At the end of a chain without backing file there are zeroes.
Result<ChainMapping> top_mapping(Image& image, std::uint64_t at, std::uint64_t length,
                                 unsigned layers);

/// The file in which a mapping's bytes are stored as they are; null: they are not.
inline BlockFile* file_of(const ChainMapping& where) {
    return where.mapping.kind == Mapping::Kind::data ? &where.layer->file() : nullptr;
}

/// Drops the first `length` bytes, or all there are.
inline void pass_over(Mapping& mapping, std::uint64_t length) {
    mapping.length -= std::min(length, mapping.length);
    mapping.offset += length;
}

/// Reads, with zeroes behind the end of the disk.
Result<void> read_padded(Image& image, std::uint64_t at, std::span<std::byte> buffer);

/// Tells whether two mappings are the same bytes of the same file, so that they need not be read to
/// be compared. Remembers what it found of the last two files: for one thread at a time.
class SamePlace {
public:
    bool operator()(const ChainMapping& a, const ChainMapping& b);

private:
    BlockFile* one_ = nullptr;
    BlockFile* other_ = nullptr;
    bool same_file_ = false;
};

}  // namespace qed
