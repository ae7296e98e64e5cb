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

/// What the guest may see: for each 512-byte sector, which values are allowed now and after a
/// power cut at any moment.
///
/// Each write puts a value into a sector that nobody else ever writes anywhere, so that a value in
/// the wrong place or from the wrong time is recognised. Requests that overlap in time have no
/// order. A value is gone once a later write that began after it ended is complete (for reads) or
/// durable (after a power cut). A failed write may have happened, sector by sector, or not.
class ReferenceDisk {
public:
    using WriteId = std::uint32_t;

    /// A disk of `bytes` whose sectors hold what `base` holds, zeroes past its end.
    ReferenceDisk(World& world, std::uint64_t bytes, const FileContent& base);
    /// A copy that goes on in another world, whose moment must not be earlier.
    ReferenceDisk(const ReferenceDisk& other, World& world);

    /// Bytes for a write that nobody has written before.
    std::vector<std::byte> unique_data(std::uint64_t offset, std::uint64_t length);

    WriteId begin_write(std::uint64_t offset, std::span<const std::byte> data);
    WriteId begin_zero(std::uint64_t offset, std::uint64_t length);
    /// The size changes; what is cut off or added becomes zero.
    WriteId begin_resize(std::uint64_t bytes);
    /// After a resize that failed: how far it got.
    void set_size(std::uint64_t bytes) noexcept { size_ = bytes; }
    void end(WriteId write, bool is_done);
    /// What `write` wrote is durable (a FUA write that succeeded).
    void make_durable(WriteId write);
    /// Makes everything durable that ended before `begun`.
    void end_flush(std::uint64_t begun);

    /// The size after all resizes, done or not.
    std::uint64_t size() const noexcept { return size_; }
    /// Whether an image of `bytes` is allowed after a power cut.
    bool is_size_allowed(std::uint64_t bytes, std::uint64_t first, std::uint64_t last) const;
    /// Sectors below `bytes` that were ever written, or that the base fills, in order.
    std::vector<std::uint64_t> touched_sectors(std::uint64_t bytes) const;
    bool is_touched(std::uint64_t sector) const { return sectors_.contains(sector); }

    /// What is wrong with `data` that was read from `offset` by a read that began at `begun`.
    std::optional<std::string> fault_in_read(std::uint64_t offset, std::span<const std::byte> data,
                                             std::uint64_t begun) const;
    /// What is wrong with `data` that was found after a power cut somewhere in [first, last].
    std::optional<std::string> fault_after_cut(std::uint64_t offset,
                                               std::span<const std::byte> data, std::uint64_t first,
                                               std::uint64_t last) const;

    /// Takes `data` for what the disk holds from now on; for a quiet disk after a recovery.
    void settle(std::uint64_t offset, std::span<const std::byte> data, bool is_durable);
    void settle_size(std::uint64_t bytes);
    /// From now on forgets values that can never be seen again: for long runs that only ask about
    /// power cuts in the present.
    void forget_the_past() noexcept { forgets_ = true; }
    /// A read is under way from the moment that this returns until end_read() of it.
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
        std::uint64_t stamp = 0;  ///< with which the sector can be made again; 0: see partial_
        WriteId write = 0;
    };
    using History = std::vector<Entry>;
    /// A request for zeroes: it also concerns sectors that are touched only after it began.
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
    std::multiset<std::uint64_t> reads_;  ///< moments at which those under way began
    std::vector<ZeroRange> zeroes_in_flight_;
    std::uint64_t stamps_ = 0;
    /// Sectors that are not as stamp_sector() makes them, by value.
    std::unordered_map<std::uint64_t, std::vector<std::byte>> partial_;
};

/// Fills `sector` so that it tells who wrote it and where.
void stamp_sector(std::span<std::byte> sector, std::uint64_t stamp, std::uint64_t number);
/// In words: zeroes, or whose stamp it is, or neither.
std::string describe_sector(std::span<const std::byte> sector);

}  // namespace qed::sim
