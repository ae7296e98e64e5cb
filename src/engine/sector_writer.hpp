// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>

#include "base/aligned_buffer.hpp"
#include "engine/table_sectors.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// The memory for the content of sector runs, and their writes. One caller at a time.
class SectorWriter {
public:
    SectorWriter(BlockFile& file, std::uint32_t unit, std::pmr::memory_resource& memory)
        : file_(file), unit_(unit), memory_(memory) {}

    std::uint32_t unit() const noexcept { return unit_; }
    /// Plans memory for the content of these runs.
    void place(SectorRuns& runs) noexcept;
    /// Allocates the planned memory. Its content is arbitrary.
    Result<void> allocate();
    std::span<std::byte> content(const SectorRun& run) noexcept {
        return buffer_.span().subspan(run.buffer_offset, run.bytes());
    }
    /// Writes all runs that have no error, at the same time. Fails only before its first write. The
    /// outcome of each write is in its run.
    Task<Result<void>> write(SectorRuns& runs);
    /// Whether any write has failed.
    bool has_failed() const noexcept { return has_failed_; }

    std::uint64_t write_count() const noexcept { return write_count_; }
    std::uint64_t write_bytes() const noexcept { return write_bytes_; }

private:
    BlockFile& file_;
    const std::uint32_t unit_;  // bytes that a write is a multiple of
    std::pmr::memory_resource& memory_;
    std::size_t planned_bytes_ = 0;
    AlignedBuffer buffer_;
    bool has_failed_ = false;
    std::uint64_t write_count_ = 0;
    std::uint64_t write_bytes_ = 0;
};

}  // namespace qed
