// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_lookup.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace qed {

Found SliceLookup::find(SliceWord word, GuestOffset at, std::uint64_t length) const noexcept {
    const std::uint32_t index = addressing_.entry(at);
    const Entry first = read_entry(word, index, shape_);
    const std::uint64_t in_cluster = addressing_.in_cluster(at);
    const auto limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        addressing_.clusters_for(in_cluster + length), shape_.entries() - index));
    const std::uint64_t mapped = std::min(
        run_length(word, index, limit, first) * addressing_.cluster_bytes() - in_cluster, length);
    QED_ASSERT(mapped > 0 && mapped <= length);
    if (!is_data_entry(first)) return Found::not_data(kind_of(first), mapped);
    return Found::in_file(first + in_cluster, mapped);
}

std::uint32_t SliceLookup::run_length(SliceWord word, std::uint32_t index, std::uint32_t limit,
                                      Entry first) const noexcept {
    if (!word.has_payload()) return limit;
    const std::uint64_t step = is_data_entry(first) ? addressing_.cluster_bytes() : 0;
    Entry expected = first + step;
    std::uint32_t run = 1;
    while (run < limit && read_entry(word, index + run, shape_) == expected) {
        ++run;
        expected += step;
    }
    return run;
}

std::size_t SliceLookup::split(std::span<const Entry> entries, GuestOffset at, std::uint64_t length,
                               std::span<Mapping> runs) const noexcept {
    const std::uint64_t cluster = addressing_.cluster_bytes();
    std::uint64_t in_cluster = addressing_.in_cluster(at);
    std::size_t count = 0;
    for (std::size_t i = 0; i < entries.size();) {
        const Entry first = entries[i];
        const bool is_data = is_data_entry(first);
        const std::uint64_t step = is_data ? cluster : 0;
        Entry expected = first;
        std::uint64_t bytes = 0;
        for (; i < entries.size() && entries[i] == expected; ++i) {
            expected += step;
            bytes += cluster;
        }
        bytes = std::min(bytes - in_cluster, length);
        QED_ASSERT(bytes > 0 && count < runs.size());
        runs[count++] = is_data ? Mapping::in_place(FileOffset{first + in_cluster}, bytes)
                                : Mapping::without_data(kind_of(first), bytes);
        length -= bytes;
        in_cluster = 0;
    }
    return count;
}

}  // namespace qed
