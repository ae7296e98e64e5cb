// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/convert/disk_view.hpp"
#include "qed/convert.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// Several disks, one behind the other, read as one; or a window of that.
class ConvertSource {
public:
    ConvertSource(std::span<Image* const> images, const ConvertOptions& options);

    std::uint64_t size() const noexcept { return size_; }
    /// Thread-safe. `at` + `buffer` may reach past the end, where zeroes are.
    Result<void> read(std::uint64_t at, std::span<std::byte> buffer) const;
    /// What is stored from `at` on, in at most `length` bytes. With `layers` > 0, what the top
    /// layers of that number do not allocate is `unallocated`, whatever lies below.
    Result<ChainMapping> mapping_at(std::uint64_t at, std::uint64_t length, unsigned layers) const;
    /// Whether everything was there: what lies behind the end of a file reads as zeroes, also when
    /// somebody has just moved the end.
    /// \errors io_error  a file is shorter than it was at first
    Result<void> check_lengths() const;

private:
    struct Part {
        Image* image;
        std::uint64_t begin;
        std::uint64_t end;
    };
    struct FileLength {
        BlockFile* file;
        std::uint64_t bytes;
    };
    const Part& part_at(std::uint64_t at) const;
    void note_lengths(Image& image);

    std::vector<Part> parts_;
    std::vector<FileLength> lengths_;  ///< of all layers, as they were at first
    std::uint64_t window_begin_;
    std::uint64_t size_ = 0;
};

}  // namespace qed
