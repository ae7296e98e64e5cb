// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// Several disks, one behind the other, read as one.
class ConvertSource {
public:
    explicit ConvertSource(std::span<Image* const> images);

    std::uint64_t size() const noexcept { return size_; }
    /// Thread-safe. `at` + `buffer` may reach past the end, where zeroes are.
    Result<void> read(std::uint64_t at, std::span<std::byte> buffer) const;

    enum class Kind : std::uint8_t { data, zero, unallocated };
    struct Piece {
        Kind kind = Kind::data;
        std::uint64_t length = 0;
        BlockFile* file = nullptr;  ///< where the data is, when the piece is one run of a file
        FileOffset file_offset{};
    };
    /// What is stored from `at` on, in at most `length` bytes. With `layers` > 0, what the top
    /// layers of that number do not allocate is `unallocated`, whatever lies below.
    Result<Piece> piece_at(std::uint64_t at, std::uint64_t length, unsigned layers) const;

private:
    struct Part {
        Image* image;
        std::uint64_t begin;
        std::uint64_t end;
    };
    const Part& part_at(std::uint64_t at) const;

    std::vector<Part> parts_;
    std::uint64_t size_ = 0;
};

}  // namespace qed
