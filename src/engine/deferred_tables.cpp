// SPDX-License-Identifier: Apache-2.0
#include "engine/deferred_tables.hpp"

#include <algorithm>
#include <array>
#include <new>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/math.hpp"
#include "engine/table_sectors.hpp"

namespace qed {
namespace {

constexpr std::uint32_t kEntryBytes = kTableEntryBytes;

}  // namespace

std::uint32_t DeferredTables::unit() const noexcept {
    return table_write_unit(parts_.file, parts_.cache);
}

void DeferredTables::add_table(std::uint64_t l1_index, FileOffset offset) {
    if (!tables_.empty() && tables_.back().l1_index == l1_index) return;
    tables_.push_back({.l1_index = l1_index, .offset = offset});
}

Result<void> DeferredTables::add(const TableUpdate& update) try {
    const std::uint32_t per_unit = unit() / kEntryBytes;
    const std::uint32_t begin = update.first / per_unit * per_unit;
    const auto end = static_cast<std::uint32_t>(round_up(update.end(), per_unit));
    std::array<Entry, kSectorBytes / kEntryBytes> sector;
    for (std::uint32_t i = begin; i < end; i += sector.size()) {
        update.pin.entries(i, sector);
        if (std::find(sector.begin(), sector.end(), kBadEntry) == sector.end()) continue;
        return fail(Errc::corrupt_metadata,
                    fmt::format("slice {} of the L2 tables holds a bad entry, so it cannot be "
                                "written: check and repair the image",
                                update.slice));
    }
    freed_.reserve(freed_.size() + update.count);
    Waiting& waiting = slices_[update.slice];
    if (!waiting.pin) waiting.pin = parts_.cache.try_pin(update.slice);
    if (!waiting.pin) {
        slices_.erase(update.slice);
        return std::unexpected(Error::out_of_memory());
    }
    for (std::uint32_t i = begin; i < end; ++i)
        waiting.sectors.set(i * kEntryBytes / kSectorBytes);
    return {};
} catch (const std::bad_alloc&) {
    return std::unexpected(Error::out_of_memory());
}

void DeferredTables::free_replaced(std::span<const Entry> old_entries) noexcept {
    for (const Entry old : old_entries) {
        if (is_data_entry(old)) freed_.push_back(FileOffset{old});
    }
}

bool DeferredTables::is_new(std::uint64_t slice) const noexcept {
    const std::uint64_t l1_index = parts_.cache.l1_index_of(slice);
    return std::any_of(tables_.begin() + static_cast<std::ptrdiff_t>(linked_), tables_.end(),
                       [&](const NewTable& table) { return table.l1_index == l1_index; });
}

Task<Result<void>> DeferredTables::write_out(FlushGroup& flushes) {
    if (empty()) co_return {};
    QED_CO_CHECK(co_await write_slices(true));
    QED_CO_CHECK(co_await flushes.flush());
    QED_CO_CHECK(co_await write_slices(false));
    QED_CO_CHECK(co_await write_l1_sectors());
    for (const FileOffset cluster : freed_)
        parts_.allocator.release(cluster, 1);
    slices_.clear();
    tables_.clear();
    linked_ = 0;
    freed_.clear();
    co_return {};
}

Task<Result<void>> DeferredTables::write_slices(bool of_new_tables) {
    Result<AlignedBuffer> buffer = AlignedBuffer::create(parts_.cache.slice_bytes(), 4096);
    if (!buffer) co_return pass(buffer);
    for (const auto& [slice, waiting] : slices_) {
        if (is_new(slice) != of_new_tables) continue;
        QED_CO_CHECK(co_await write_slice(slice, waiting, buffer->span()));
    }
    co_return {};
}

Task<Result<void>> DeferredTables::write_slice(std::uint64_t slice, const Waiting& waiting,
                                               std::span<std::byte> buffer) {
    const std::uint64_t at = parts_.cache.l1(parts_.cache.l1_index_of(slice)) +
                             parts_.cache.slice_in_table(slice) * parts_.cache.slice_bytes();
    const auto sectors = static_cast<std::uint32_t>(parts_.cache.slice_bytes() / kSectorBytes);
    for (std::uint32_t begin = 0; begin < sectors;) {
        std::uint32_t end = begin;
        while (end < sectors && waiting.sectors.test(end))
            ++end;
        if (end == begin) {
            ++begin;
            continue;
        }
        const auto raw = buffer.first((end - begin) * kSectorBytes);
        const auto first = static_cast<std::uint32_t>(begin * (kSectorBytes / kEntryBytes));
        const bool is_stored = store_slice_sectors(waiting.pin, first, raw);
        QED_ASSERT(is_stored);  // add() has refused bad entries
        const FileOffset to{at + begin * kSectorBytes};
        QED_ASSERT(to.value % unit() == 0 && raw.size() % unit() == 0);
        QED_CO_CHECK(co_await parts_.file.write(to, raw));
        count_write(raw.size());
        begin = end;
    }
    co_return {};
}

Task<Result<void>> DeferredTables::write_l1_sectors() {
    const std::uint64_t l1_at = layout_.l1_table.value;
    Result<AlignedBuffer> buffer = AlignedBuffer::create(unit(), 4096);
    if (!buffer) co_return pass(buffer);
    linked_ = tables_.size();
    for (const NewTable& table : tables_) {
        const std::uint64_t begin = round_down(table.l1_index * kEntryBytes, unit());
        store_l1_sectors(parts_.cache, begin / kEntryBytes, buffer->span());
        QED_CO_CHECK(co_await parts_.file.write(FileOffset{l1_at + begin}, buffer->span()));
        count_write(unit());
    }
    co_return {};
}

void DeferredTables::count_write(std::uint64_t bytes) noexcept {
    ++written_.writes;
    written_.bytes += bytes;
}

}  // namespace qed
