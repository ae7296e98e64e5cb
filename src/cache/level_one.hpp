// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/zeroed_array.hpp"
#include "cache/entry.hpp"
#include "cache/found.hpp"
#include "cache/table_shape.hpp"
#include "qed/units.hpp"

namespace qed {

/// The L1 table of an image in memory, whole. An entry is the file offset of a second-level table,
/// kUnallocatedEntry, or kBadEntry. Readers take no lock; there is one writer at a time.
///
/// The array is sized for the largest legal image, so that it never moves when the image grows; it
/// takes memory only for pages that hold entries.
class LevelOne {
public:
    explicit LevelOne(const TableShape& tables) noexcept
        : span_bits_(tables.entry_span_bits +
                     static_cast<unsigned>(std::countr_zero(tables.entries_per_table))),
          entries_(((tables.max_guest_bytes - 1) >> span_bits_) + 1) {}
    /// False: the system had no address space.
    bool is_valid() const noexcept { return entries_.data() != nullptr; }

    Entry entry(std::uint64_t index) const noexcept {
        return entries_[index].load(std::memory_order_acquire);
    }
    std::uint64_t capacity() const noexcept { return entries_.size(); }
    /// Returns the previous value.
    Entry replace(std::uint64_t index, Entry table) noexcept;

    /// The answer of the L1 table alone for the range [at, at + length), length > 0: `miss` if
    /// there is a table, otherwise "no table" and the length for which this holds.
    Found find(GuestOffset at, std::uint64_t length) const noexcept;

private:
    const unsigned span_bits_;  // a table maps 2^span_bits guest bytes
    ZeroedArray<std::atomic<Entry>> entries_;
};

}  // namespace qed
