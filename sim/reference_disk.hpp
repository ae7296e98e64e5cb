// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "qed/units.hpp"
#include "sim/file_content.hpp"
#include "sim/world.hpp"

namespace qed::sim {

/// The content that the guest may see: for each 512-byte sector, the values that are allowed now
/// and after a power cut at any moment.
///
/// Every write of a sector has a unique value, so that a value in the wrong place or from the wrong
/// time is detected. Requests that overlap in time have no order. A value is no longer allowed when
/// a write that began after its write ended is complete (for reads) or durable (after a power cut).
/// Each sector of a failed write may have been written or not.
class ReferenceDisk {
public:
    using WriteId = std::uint32_t;

    /// A disk of `bytes` with the content of `base`, and zeroes past its end.
    ReferenceDisk(World& world, std::uint64_t bytes, const FileContent& base);
    /// A copy that continues in another world, whose moment must not be earlier.
    ReferenceDisk(const ReferenceDisk& other, World& world);

    /// Bytes that no other write has.
    std::vector<std::byte> unique_data(std::uint64_t offset, std::uint64_t length);

    WriteId begin_write(std::uint64_t offset, std::span<const std::byte> data);
    WriteId begin_zero(std::uint64_t offset, std::uint64_t length);
    /// Starts a change of the size; the bytes that are cut off or added become zero.
    WriteId begin_resize(std::uint64_t bytes);
    /// Sets the size that a failed resize has reached.
    void set_size(std::uint64_t bytes) noexcept { size_ = bytes; }
    void end(WriteId write, bool is_done);
    /// Makes the data of `write` durable (a FUA write that succeeded).
    void make_durable(WriteId write);
    /// Makes all writes durable that ended before `begun`.
    void end_flush(std::uint64_t begun);

    /// The size after all resizes, done or not.
    std::uint64_t size() const noexcept { return size_; }
    /// Whether an image size of `bytes` is allowed after a power cut.
    bool is_size_allowed(std::uint64_t bytes, std::uint64_t first, std::uint64_t last) const;
    /// Sectors below `bytes` that were ever written, or that the base fills, in order.
    std::vector<std::uint64_t> touched_sectors(std::uint64_t bytes) const;
    bool is_touched(std::uint64_t sector) const { return sectors_.contains(sector); }

    /// The fault of `data` that a read at `offset`, which began at `begun`, returned; or nothing.
    std::optional<std::string> fault_in_read(std::uint64_t offset, std::span<const std::byte> data,
                                             std::uint64_t begun) const;
    /// The fault of `data` that was found after a power cut at a moment in [first, last]; or
    /// nothing.
    std::optional<std::string> fault_after_cut(std::uint64_t offset,
                                               std::span<const std::byte> data, std::uint64_t first,
                                               std::uint64_t last) const;

    /// Accepts `data` as the content of the disk; for an idle disk after a recovery.
    void settle(std::uint64_t offset, std::span<const std::byte> data, bool is_durable);
    void settle_size(std::uint64_t bytes);
    /// Forgets values that can never be seen again, from now on. For long runs that only ask about
    /// power cuts at the current moment.
    void forget_the_past() noexcept { forgets_ = true; }
    /// Starts a read at the returned moment; end_read() with that moment ends it.
    std::uint64_t begin_read();
    void end_read(std::uint64_t begun);

private:
    struct Write {
        std::uint64_t start = 0;
        std::uint64_t end = kNever;
        std::uint64_t durable = kNever;
        bool is_done = false;
    };
    struct Entry {
        std::uint64_t value = 0;  ///< hash of the sector
        std::uint64_t stamp = 0;  ///< stamp_sector() recreates the sector from it; 0: see partial_
        WriteId write = 0;
    };
    using History = std::vector<Entry>;
    /// A request for zeroes. It also affects sectors that are first touched after it began.
    struct ZeroRange {
        std::uint64_t first = 0;  ///< sectors
        std::uint64_t end = 0;
        WriteId write = 0;
    };
    static constexpr std::uint64_t kNever = ~std::uint64_t{0};

    WriteId begin();
    void forget(History& history) const;
    void add(std::uint64_t sector, std::span<const std::byte> content, WriteId write);
    std::vector<std::byte> content_of(std::uint64_t sector) const;
    /// The whole sector after bytes were written into it.
    std::vector<std::byte> overlay(std::uint64_t sector, std::uint64_t in_sector,
                                   std::span<const std::byte> data) const;
    bool may_be_read(const History& history, std::uint64_t value, std::uint64_t begun) const;
    bool may_survive(const History& history, std::uint64_t value, std::uint64_t cut) const;
    const History& history_of(std::uint64_t sector) const;
    std::string explain(std::uint64_t sector, std::span<const std::byte> found,
                        const History& history) const;

    World& world_;
    std::uint64_t size_;
    std::vector<Write> writes_;
    std::vector<WriteId> not_durable_;
    std::map<std::uint64_t, History> sectors_;
    History sizes_;
    bool forgets_ = false;
    std::multiset<std::uint64_t> reads_;  ///< start moments of the reads in flight
    std::vector<ZeroRange> zeroes_in_flight_;
    std::uint64_t stamps_ = 0;
    /// Sectors that stamp_sector() cannot recreate, by value.
    std::unordered_map<std::uint64_t, std::vector<std::byte>> partial_;
};

/// Fills `sector` with a pattern that identifies the write and the sector's number.
void stamp_sector(std::span<std::byte> sector, std::uint64_t stamp, std::uint64_t number);
/// Describes a sector in words: zeroes, the write of its stamp, or neither.
std::string describe_sector(std::span<const std::byte> sector);

}  // namespace qed::sim
