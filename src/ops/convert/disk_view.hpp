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

/// The mapping at `at` of a disk, at most `length` bytes. Past its end nothing is allocated.
Result<ChainMapping> disk_mapping(Image& image, std::uint64_t at, std::uint64_t length);

/// The same, but bytes that the top `layers` of the chain do not allocate are `unallocated`,
/// whatever the layers below hold. A range that no layer of a complete chain holds is zero.
Result<ChainMapping> top_mapping(Image& image, std::uint64_t at, std::uint64_t length,
                                 unsigned layers);

/// The file that stores a mapping's bytes unchanged; null if no file does.
inline BlockFile* file_of(const ChainMapping& where) {
    return where.mapping.kind == Mapping::Kind::data ? &where.layer->file() : nullptr;
}

/// Drops the first `length` bytes, or all if there are fewer.
inline void pass_over(Mapping& mapping, std::uint64_t length) {
    mapping.length -= std::min(length, mapping.length);
    mapping.offset += length;
}

/// Reads the disk; bytes past its end are zeroes.
Result<void> read_padded(Image& image, std::uint64_t at, std::span<std::byte> buffer);

/// Tells whether two mappings are the same bytes of the same file, so that they need not be read to
/// be compared. Remembers the last two files that it compared: for one thread at a time.
class SamePlace {
public:
    bool operator()(const ChainMapping& a, const ChainMapping& b);

private:
    BlockFile* one_ = nullptr;
    BlockFile* other_ = nullptr;
    bool same_file_ = false;
};

}  // namespace qed
