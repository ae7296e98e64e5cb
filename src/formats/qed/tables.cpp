// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/tables.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/endian.hpp"
#include "base/math.hpp"
#include "formats/qed/qed_table_shape.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kReadBytes = 1U << 20;
constexpr std::uint64_t kL1LoadUnit = 4096 / sizeof(Entry);

}  // namespace

QedTables::QedTables(BlockFile& file, const HeaderInfo& info, bool writable)
    : file_(file),
      geometry_(info.geometry),
      l1_at_(info.header.l1_table_offset),
      writable_(writable),
      decoder_(file, info.header, info.geometry) {
    decoder_.know_bytes(info.file_bytes);
}

Result<std::unique_ptr<QedTables>> QedTables::create(BlockFile& file, const HeaderInfo& info,
                                                     MemoryBudget& budget, const Options& options) {
    std::unique_ptr<QedTables> tables(new QedTables(file, info, options.writable));
    Result<std::unique_ptr<MappingCache>> cache =
        MappingCache::create(file, budget, table_shape(info.geometry, options.slice_bytes),
                             tables->decoder_, options.cache);
    if (!cache) return pass(cache);
    tables->cache_ = std::move(*cache);
    return tables;
}

// Loads the entries that share the last sector, too: a write of a sector must not change them.
std::uint64_t QedTables::l1_loaded_for(std::uint64_t image_bytes) const noexcept {
    return std::min(round_up(geometry_.l1_entries_used(image_bytes), kL1LoadUnit),
                    cache_->l1_capacity());
}

Task<Result<void>> QedTables::load_l1(std::uint64_t loaded_bytes, std::uint64_t image_bytes) {
    const std::uint64_t first = l1_loaded_for(loaded_bytes);
    const std::uint64_t end = l1_loaded_for(image_bytes);
    if (end <= first) co_return {};
    const Result<std::uint64_t> file_bytes = file_.size();
    if (!file_bytes) co_return std::unexpected(file_bytes.error().clone());
    decoder_.know_bytes(*file_bytes);  // tables that were allocated since the image was opened
    // The known tables count as well: no two entries may name one table.
    std::vector<Entry> entries(end);
    for (std::uint64_t i = 0; i < first; ++i)
        entries[i] = cache_->l1(i);
    QED_CO_CHECK(co_await read_l1(first, std::span(entries).subspan(first)));
    const std::vector<BadL1Entry> bad = find_bad_l1_entries(entries, decoder_.limits());
    if (writable_ && !bad.empty()) {
        co_return fail(Errc::needs_check,
                       fmt::format("{}: {}; run 'qed check -r all' on it before writing",
                                   file_.name(), describe_bad_l1_entry(bad[0], decoder_.limits())));
    }
    for (const BadL1Entry& entry : bad)
        entries[entry.index] = kBadEntry;
    for (std::uint64_t i = first; i < end; ++i) {
        // The memory is zero already, and writing zeroes would allocate pages.
        if (entries[i] != kUnallocatedEntry) cache_->set_l1(i, entries[i]);
    }
    co_return {};
}

Task<Result<void>> QedTables::read_l1(std::uint64_t first, std::span<Entry> entries) {
    Result<AlignedBuffer> raw =
        AlignedBuffer::create(std::min(entries.size_bytes(), kReadBytes), 4096);
    if (!raw) co_return pass(raw);
    while (!entries.empty()) {
        const auto part = raw->span().first(std::min(entries.size_bytes(), raw->size()));
        QED_CO_CHECK(co_await file_.read(l1_at_ + first * sizeof(Entry), part));
        const std::size_t count = part.size() / sizeof(Entry);
        load_le64(part, entries.first(count));
        first += count;
        entries = entries.subspan(count);
    }
    co_return {};
}

Task<Result<Mapping>> QedTables::load(GuestOffset at, std::uint64_t length) {
    Result<Mapping> found = co_await cache_->load(at, length);
    if (!found) {
        co_return std::unexpected(std::move(found.error()).with_context(file_.name()));
    }
    if (found->kind == Mapping::Kind::unallocated) {
        found->length += hole_after(at, found->length, length);
    }
    co_return found;
}

// Guest bytes after the `found` ones at `at` whose entries are in a hole of the file. Tables may be
// holes of terabytes, which would take too long to walk slice by slice. Only while the image is
// read-only; otherwise a slice in memory could be ahead of the hole.
std::uint64_t QedTables::hole_after(GuestOffset at, std::uint64_t found,
                                    std::uint64_t length) const {
    const GuestOffset next{at.value + found};
    if (writable_ || found >= length) return 0;
    if (geometry_.l1_index(next) != geometry_.l1_index(at)) return 0;
    const Entry table = cache_->l1(geometry_.l1_index(at));
    if (!is_data_entry(table)) return 0;
    const std::uint64_t begin = table + geometry_.l2_index(next) * sizeof(Entry);
    const std::uint64_t table_end = table + geometry_.table_bytes();
    const auto data = file_.next_data(begin);
    if (!data || data->begin <= begin) return 0;
    const std::uint64_t entries = (std::min(data->begin, table_end) - begin) / sizeof(Entry);
    return std::min(entries << geometry_.cluster_bits(), length - found);
}

Error QedTables::explain(GuestOffset at) const {
    const std::uint64_t l1_index = geometry_.l1_index(at);
    const Entry table = cache_->l1(l1_index);
    const std::string where =
        table == kBadEntry
            ? fmt::format("L1 entry {} (at {:#x}) names no table inside the file", l1_index,
                          l1_at_.value + l1_index * sizeof(Entry))
            : fmt::format("L2 entry {} of the table at {:#x} names no cluster inside the file",
                          geometry_.l2_index(at), table);
    return {Errc::corrupt_metadata,
            fmt::format("{}: guest offset {:#x} cannot be read: {}; 'qed check' lists what is "
                        "damaged",
                        file_.name(), at.value, where)};
}

}  // namespace qed
