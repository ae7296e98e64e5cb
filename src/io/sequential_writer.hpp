// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

/// Writes a disk from its front to its back, as convert does. place(), reserve(), zero() and skip()
/// are called for pieces in guest order, by one thread at a time; store() by any number of threads
/// for places that were given out.
class SequentialWriter {
public:
    SequentialWriter() = default;
    SequentialWriter(const SequentialWriter&) = delete;
    SequentialWriter& operator=(const SequentialWriter&) = delete;
    virtual ~SequentialWriter() = default;

    /// Pieces begin at multiples of this and, but for the last, end there.
    virtual std::uint64_t grain() const noexcept = 0;
    /// Blocks in which zeroes are looked for.
    virtual std::uint64_t zero_unit() const noexcept = 0;

    /// A run of target bytes for guest data.
    struct Place {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    /// Where the data at `guest` goes; the place may be shorter than `length`: ask again.
    virtual Result<Place> place(std::uint64_t guest, std::uint64_t length) = 0;
    /// A hint: the place is going to be filled with data.
    virtual void reserve(const Place&) noexcept {}
    virtual Result<void> store(const Place& at, std::span<const std::byte> data) = 0;
    virtual Result<void> zero(std::uint64_t guest, std::uint64_t length) = 0;
    /// Leaves the range to the target's backing file.
    virtual Result<void> skip(std::uint64_t guest, std::uint64_t length) = 0;
    /// The file to share blocks with: places are offsets in it. Null: none.
    virtual BlockFile* shared_file() noexcept { return nullptr; }
    /// Where in it one block may be put to see whether sharing works, for data at `guest`.
    virtual std::uint64_t scratch_offset(std::uint64_t guest) const noexcept { return guest; }
    /// A hint: what has been stored may go to the disk now. Does not wait.
    virtual void write_early() noexcept {}
    virtual Result<void> finish() = 0;
};

/// How a SequentialWriter is to store what it gets.
struct WriterOptions {
    bool allocates_zeroes = false;  ///< zeroes take space on the disk, too
    bool file_is_zero = false;      ///< the file reads as zeroes all over: they need not be written
    std::uint64_t zero_unit =
        4096;  ///< blocks in which zeroes are looked for, if it has the choice
};

/// The hint of write_early(), for a file.
void begin_writeback(BlockFile& file) noexcept;

}  // namespace qed
