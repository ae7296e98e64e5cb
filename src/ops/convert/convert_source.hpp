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

/// Concatenates several disks to one, or reads a window of that.
class ConvertSource {
public:
    ConvertSource(std::span<Image* const> images, const ConvertOptions& options);

    std::uint64_t size() const noexcept { return size_; }
    /// Thread-safe. `at` + `buffer` may reach past the end, which reads as zeroes.
    Result<void> read(std::uint64_t at, std::span<std::byte> buffer) const;
    /// The first mapping of `length` bytes starting at `at`. With `layers` > 0, bytes that the top
    /// layers of that number do not allocate are `unallocated`, whatever the layers below hold.
    Result<ChainMapping> mapping_at(std::uint64_t at, std::uint64_t length, unsigned layers) const;
    /// Checks that no file became shorter while it was read. Bytes past the end of a file read as
    /// zeroes, and a truncated file would look like one with zeroes.
    /// \errors io_error  a file is shorter than it was when the source was opened
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
    std::vector<FileLength> lengths_;  ///< of all layers, when the source was opened
    std::uint64_t window_begin_;
    std::uint64_t size_ = 0;
};

}  // namespace qed
