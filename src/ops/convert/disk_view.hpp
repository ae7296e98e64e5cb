// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// A run of a disk's bytes that are stored in one way, seen through the whole chain.
struct DiskPiece {
    enum class Kind : std::uint8_t {
        data,
        zero,
        unallocated,  ///< by the layers that were asked; what lies below is somebody else's
    };
    Kind kind = Kind::zero;
    std::uint64_t length = 0;
    bool present = false;       ///< of disk_piece(): some layer says what is here
    BlockFile* file = nullptr;  ///< data: where it is, when that is known
    FileOffset file_offset{};
};

/// What is at `at`, in at most `length` bytes. Behind the end of the disk there are zeroes.
Result<DiskPiece> disk_piece(Image& image, std::uint64_t at, std::uint64_t length);

/// The same, but what the top `layers` of the chain do not allocate is `unallocated`. At the end
/// of a chain without backing file there are zeroes.
Result<DiskPiece> top_piece(Image& image, std::uint64_t at, std::uint64_t length, unsigned layers);

/// Reads, with zeroes behind the end of the disk.
Result<void> read_padded(Image& image, std::uint64_t at, std::span<std::byte> buffer);

/// Tells whether two pieces are the same bytes of the same file, so that they need not be read to
/// be compared. Remembers what it found of the last two files: for one thread at a time.
class SamePlace {
public:
    bool operator()(const DiskPiece& a, const DiskPiece& b);

private:
    BlockFile* one_ = nullptr;
    BlockFile* other_ = nullptr;
    bool same_file_ = false;
};

}  // namespace qed
