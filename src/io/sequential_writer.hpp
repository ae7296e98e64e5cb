// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

/// Writes a disk in guest order, as convert does. One thread at a time calls place(), reserve(),
/// zero() and skip(), for pieces in guest order. Any number of threads may call store() for places
/// that were given out.
class SequentialWriter {
public:
    SequentialWriter() = default;
    SequentialWriter(const SequentialWriter&) = delete;
    SequentialWriter& operator=(const SequentialWriter&) = delete;
    virtual ~SequentialWriter() = default;

    /// Pieces start at multiples of this and, except the last one, end there.
    virtual std::uint64_t grain() const noexcept = 0;
    /// The size of blocks in which the caller searches for zeroes.
    virtual std::uint64_t zero_unit() const noexcept = 0;

    /// A run of target bytes for guest data.
    struct Place {
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    /// The place for the data at `guest`; it may be shorter than `length`: call again for the rest.
    virtual Result<Place> place(std::uint64_t guest, std::uint64_t length) = 0;
    /// A hint: the caller is going to fill the place with data.
    virtual void reserve(const Place&) noexcept {}
    virtual Result<void> store(const Place& at, std::span<const std::byte> data) = 0;
    virtual Result<void> zero(std::uint64_t guest, std::uint64_t length) = 0;
    /// Leaves the range to the target's backing file.
    virtual Result<void> skip(std::uint64_t guest, std::uint64_t length) = 0;
    /// The file whose blocks can be shared: places are offsets in it. Null: none.
    virtual BlockFile* shared_file() noexcept { return nullptr; }
    /// Where a block for data at `guest` may be stored to test whether sharing works.
    virtual std::uint64_t scratch_offset(std::uint64_t guest) const noexcept { return guest; }
    /// A hint: stored data may be written back to the disk now. Does not wait.
    virtual void write_early() noexcept {}
    virtual Result<void> finish() = 0;
};

/// How a SequentialWriter stores its data.
struct WriterOptions {
    bool allocates_zeroes = false;  ///< zeroes take space on the disk, too
    bool file_is_zero = false;      ///< the whole file reads as zeroes: they need not be written
    std::uint64_t zero_unit =
        4096;  ///< blocks in which zeroes are looked for, if it has the choice
};

}  // namespace qed
