// SPDX-License-Identifier: Apache-2.0
#include "engine/table_space.hpp"

#include <algorithm>

#include "base/math.hpp"
#include "engine/guest_disk.hpp"
#include "engine/table_sectors.hpp"

namespace qed {

bool TableSpace::may_lack(std::uint64_t slice) const noexcept {
    return parts_.file.traits().can_reserve && !reserved_.contains(slice);
}

Task<Result<void>> TableSpace::reserve_table(std::uint64_t l1_index, FileOffset at) {
    const MappingCache& cache = parts_.cache;
    const std::uint64_t first = cache.addressing().first_slice_of_table(l1_index);
    const std::uint64_t end = cache.addressing().first_slice_of_table(l1_index + 1);
    const std::uint64_t span = layout_.cluster.bytes() << cache.addressing().entry_bits();
    const std::uint64_t disk_end = round_up(parts_.disk.size(), span) / span;
    const std::uint64_t used = std::clamp(disk_end, first + 1, end) - first;
    QED_CO_CHECK(co_await reserve(at, used * cache.slice_bytes()));
    reserved_.add({first, used});
    const std::uint32_t unit = table_write_unit(parts_.file, cache);
    const std::uint64_t in_l1 = round_down(l1_index * kTableEntryBytes, unit);
    co_return co_await reserve(layout_.l1_table + in_l1, unit);
}

Task<Result<void>> TableSpace::reserve_slice(std::uint64_t slice) {
    const MappingCache& cache = parts_.cache;
    const FileOffset table{cache.l1(cache.l1_index_of(slice))};
    const std::uint64_t in_table = cache.slice_in_table(slice) * cache.slice_bytes();
    QED_CO_CHECK(co_await reserve(table + in_table, cache.slice_bytes()));
    reserved_.add({slice, 1});
    co_return {};
}

Task<Result<void>> TableSpace::reserve(FileOffset at, std::uint64_t bytes) {
    if (!parts_.file.traits().can_reserve) co_return {};
    Result<void> done = co_await parts_.file.allocate(at, bytes);
    if (done || done.error().code() == Errc::unsupported) co_return {};
    co_return std::unexpected(
        std::move(done.error()).with_context("reserving space for the image's tables"));
}

}  // namespace qed
