// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/open.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/endian.hpp"
#include "base/math.hpp"
#include "base/mutants.hpp"
#include "formats/qed/check/check.hpp"
#include "formats/qed/layer.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kScanBytes = 1U << 20;

MemoryBudget& budget_of(const OpenOptions& options) {
    return static_cast<MemoryBudget&>(options.budget != nullptr ? *options.budget
                                                                : *CacheBudget::process());
}

// The size of slices is a multiple of the unit in which the file is written.
QedTables::Options table_options(const OpenOptions& options, std::uint32_t unit) {
    const std::uint32_t wanted = std::bit_ceil(options.slice_bytes);
    return {
        .slice_bytes = std::clamp<std::uint32_t>(wanted, std::clamp(unit, 512U, 4096U), 65536),
        .cache = {.readahead_slices = options.readahead_slices, .limit_bytes = options.cache_limit},
        .writable = options.writable};
}

// A dirty image may hold entries that name no cluster yet. They are cleared before anything is
// allocated, or two guest clusters could come to share one. Leaked clusters stay: moving data takes
// time, and a cleared entry may have meant a leaked cluster.
Task<Result<void>> repair_dirty(BlockFile& file, OpenOptions options) {
    if (!options.repair_dirty) {
        co_return fail(
            Errc::needs_check,
            fmt::format("{}: was not closed cleanly; run 'qed check -r all' on it", file.name()));
    }
    CheckOptions check;
    check.repair = Repair::entries;
    const Result<CheckReport> report = co_await check_qed(file, check);
    if (!report) co_return std::unexpected(report.error().clone());
    if (report->is_dirty || report->corruptions != 0 || report->check_errors != 0) {
        co_return fail(Errc::needs_check,
                       fmt::format("{}: was not closed cleanly and could not be repaired: {} "
                                   "corruptions, {} errors remain; run 'qed check' on it",
                                   file.name(), report->corruptions, report->check_errors));
    }
    co_return {};
}

/// Reads the header again after a repair, if one was needed.
Task<Result<void>> make_clean(BlockFile& file, HeaderInfo& info, OpenOptions options) {
    if (!info.header.needs_check()) co_return {};
    if (detail::mutant(detail::Mutant::allocate_named_past_eof)) co_return {};
    QED_CO_CHECK(co_await repair_dirty(file, options));
    Result<HeaderInfo> repaired = co_await read_header(file);
    if (!repaired) co_return pass(repaired);
    info = std::move(*repaired);
    co_return {};
}

Task<Result<void>> scan_table(BlockFile& file, QedTables& tables, const Geometry& geometry,
                              std::uint64_t l1_index, std::span<std::byte> buffer) {
    const std::uint64_t table = tables.cache().l1(l1_index);
    const EntryLimits limits = tables.decoder().limits();
    for (std::uint64_t done = 0; done < geometry.table_bytes();) {
        const auto data = file.next_data(table + done);
        if (!data) co_return std::unexpected(data.error().clone());
        // Holes hold no entries.
        if (data->begin > table)
            done = std::max(done, round_down(data->begin - table, buffer.size()));
        if (done >= geometry.table_bytes()) break;
        QED_CO_CHECK(co_await file.read(FileOffset{table + done}, buffer));
        for (std::size_t i = 0; i < buffer.size() / 8; ++i) {
            const std::uint64_t entry = load_le64(buffer, i);
            if (entry <= kRawZero || limits.is_valid_cluster_offset(entry)) continue;
            const std::uint64_t index = done / 8 + i;
            const L2EntryPlace place{.table = FileOffset{table},
                                     .index = index,
                                     .guest = GuestOffset{(l1_index << geometry.table_span_bits()) +
                                                          (index << geometry.cluster_bits())}};
            co_return fail(Errc::needs_check,
                           fmt::format("{}: {}; run 'qed check -r all' on it before writing",
                                       file.name(), describe_bad_l2_entry(entry, place, limits)));
        }
        done += buffer.size();
    }
    co_return {};
}

// New clusters are appended to the file. If an entry names a cluster there, because the file was
// truncated, the two would share it: every table is read before the first allocation.
Task<Result<void>> scan_tables(QedLayer& layer) {
    if (detail::mutant(detail::Mutant::allocate_named_past_eof)) co_return {};
    const Geometry& geometry = layer.geometry();
    const MappingCache& cache = layer.tables().cache();
    Result<AlignedBuffer> buffer =
        AlignedBuffer::create(std::min<std::uint64_t>(kScanBytes, geometry.table_bytes()), 4096);
    if (!buffer) co_return pass(buffer);
    const std::uint64_t used = geometry.l1_entries_used(layer.size());
    for (std::uint64_t i = 0; i < std::min(used, cache.l1_capacity()); ++i) {
        if (cache.l1(i) == kUnallocatedEntry) continue;
        QED_CO_CHECK(
            co_await scan_table(layer.file(), layer.tables(), geometry, i, buffer->span()));
    }
    co_return {};
}

// A writer that does not know an autoclear feature clears it.
Task<Result<void>> prepare_writing(QedLayer& layer) {
    QED_CO_CHECK(co_await scan_tables(layer));
    HeaderStore& store = layer.header_store();
    Header cleared = store.header();
    if (cleared.autoclear_features == 0) co_return {};
    cleared.autoclear_features = 0;
    co_return co_await store.replace(cleared);
}

}  // namespace

Task<Result<std::shared_ptr<Layer>>> open_qed(std::unique_ptr<BlockFile> file, HeaderInfo info,
                                              std::shared_ptr<Layer> backing, OpenOptions options) {
    if (options.writable && file->is_read_only()) {
        co_return fail(Errc::read_only, fmt::format("{}: the file is read-only", file->name()));
    }
    if (options.writable) QED_CO_CHECK(co_await make_clean(*file, info, options));
    Result<std::unique_ptr<QedTables>> tables = QedTables::create(
        *file, info, budget_of(options), table_options(options, file->alignment().offset));
    if (!tables) co_return pass(tables);
    QED_CO_CHECK(co_await (*tables)->load_l1(0, info.header.image_bytes));
    auto layer = std::make_shared<QedLayer>(std::move(file), info, std::move(*tables),
                                            std::move(backing), options);
    if (options.writable) QED_CO_CHECK(co_await prepare_writing(*layer));
    std::shared_ptr<Layer> opened = std::move(layer);
    co_return std::move(opened);
}

}  // namespace qed
