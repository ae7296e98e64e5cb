// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "base/aligned_buffer.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// The first bytes of a file, read once: formats recognise their images by them, and most find
/// their header in them.
class FileHead {
public:
    static constexpr std::size_t kBytes = 4096;

    /// \errors those of the file, out_of_memory
    static Task<Result<FileHead>> read(BlockFile& file);

    /// kBytes, or all bytes of a shorter file.
    std::span<const std::byte> bytes() const noexcept { return block_.span().first(length_); }

private:
    FileHead(AlignedBuffer block, std::size_t length) : block_(std::move(block)), length_(length) {}

    AlignedBuffer block_;
    std::size_t length_;
};

}  // namespace qed
