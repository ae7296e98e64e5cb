// SPDX-License-Identifier: Apache-2.0
#include "cache/level_one.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace qed {

Entry LevelOne::replace(std::uint64_t index, Entry table) noexcept {
    QED_ASSERT(index < entries_.size());
    const Entry old = entries_[index].load(std::memory_order_relaxed);
    // The memory is zero already, and storing a zero would allocate a page.
    if (old != table) entries_[index].store(table, std::memory_order_release);
    return old;
}

Found LevelOne::find(GuestOffset at, std::uint64_t length) const noexcept {
    std::uint64_t index = at.value >> span_bits_;
    const Entry table = entry(index);
    if (is_data_entry(table)) return Found::not_data(Mapping::Kind::not_loaded, 0);
    const std::uint64_t span = std::uint64_t{1} << span_bits_;
    std::uint64_t found = std::min(length, span - (at.value & (span - 1)));
    while (found < length && index + 1 < entries_.size() && entry(index + 1) == table) {
        ++index;
        found += std::min(length - found, span);
    }
    QED_ASSERT(found > 0 && found <= length);
    return Found::not_data(
        table == kUnallocatedEntry ? Mapping::Kind::unallocated : Mapping::Kind::corrupt, found);
}

}  // namespace qed
