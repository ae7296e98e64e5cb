// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/aligned_buffer.hpp"
#include "base/endian.hpp"
#include "engine/table_committer.hpp"
#include "engine/table_sectors.hpp"
#include "engine/write_context.hpp"

namespace qed {

/// Reads the tables of an open image from its file to find out which guest clusters are mapped to
/// which clusters of the file. The result may be old as soon as it is known: requests change the
/// tables meanwhile. Entries that wait in memory are not seen.
class OwnerReader {
public:
    OwnerReader(const WriteContext& context, const TableLayout& layout)
        : context_(context), layout_(layout) {}

    /// Tables that the disk may use: a number of L1 entries.
    std::uint64_t table_count() const noexcept {
        const std::uint64_t bytes = context_.disk.size();
        return bytes == 0 ? 0 : context_.cache.addressing().table(GuestOffset{bytes - 1}) + 1;
    }
    std::uint64_t entries_of_table() const noexcept {
        return layout_.table_bytes() / kTableEntryBytes;
    }
    /// Where this table is; a marker if there is none.
    Entry table(std::uint64_t l1_index) const noexcept { return context_.cache.l1(l1_index); }

    /// Calls `visit(guest_cluster, file_cluster)` for each entry of the table that names a cluster.
    template <class Visit>
    Task<Result<void>> read(std::uint64_t l1_index, Visit& visit) const {
        const Entry at = table(l1_index);
        if (!is_data_entry(at)) co_return {};
        Result<AlignedBuffer> buffer = AlignedBuffer::create(
            std::min<std::uint64_t>(layout_.table_bytes(), std::uint64_t{1} << 20), 4096);
        if (!buffer) co_return pass(buffer);
        std::uint64_t guest_cluster = l1_index * entries_of_table();
        for (std::uint64_t done = 0; done < layout_.table_bytes(); done += buffer->size()) {
            QED_CO_CHECK(co_await context_.file.read(FileOffset{at + done}, buffer->span()));
            for (std::size_t i = 0; i < buffer->size() / kTableEntryBytes; ++i, ++guest_cluster) {
                const Entry entry = load_le64(buffer->span(), i);
                if (is_data_entry(entry)) visit(guest_cluster, entry >> context_.cluster.bits());
            }
        }
        co_return {};
    }

private:
    const WriteContext& context_;
    const TableLayout layout_;
};

}  // namespace qed
