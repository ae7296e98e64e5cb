// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/open.hpp"

#include <algorithm>
#include <bit>
#include <thread>

#include <fmt/format.h>

#include "base/mutants.hpp"
#include "formats/qed/check/check.hpp"
#include "formats/qed/free_space.hpp"
#include "formats/qed/layer.hpp"

namespace qed {
namespace {

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

constexpr unsigned kMostScanThreads = 4;  // more would only wait for memory

unsigned scan_threads(const OpenOptions& options) {
    if (options.scan_threads != 0) return options.scan_threads;
    return std::clamp(std::thread::hardware_concurrency(), 1U, kMostScanThreads);
}

// New clusters go into space that no table names: every table is looked at before the first
// allocation. A crashed process may have left a free end, which is cut off once what it wrote last
// is durable: the file must never end before a cluster that a table on the disk names.
Task<Result<void>> prepare_writing(QedLayer& layer, unsigned threads) {
    CowEngine& engine = layer.engine();
    if (!detail::mutant(detail::Mutant::allocate_named_past_eof)) {
        QED_CO_CHECK(co_await find_free_space(layer.file(), engine.allocator(), threads));
    }
    // A writer that does not know an autoclear feature clears it.
    HeaderStore& store = layer.header_store();
    Header cleared = store.header();
    if (cleared.autoclear_features != 0) {
        cleared.autoclear_features = 0;
        QED_CO_CHECK(co_await store.replace(cleared));
    }
    if (!engine.allocator().has_free_end()) co_return {};
    QED_CO_CHECK(co_await engine.flush());
    static_cast<void>(co_await engine.idle().cut());  // at worst the file stays long
    co_return {};
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
    if (options.writable) QED_CO_CHECK(co_await prepare_writing(*layer, scan_threads(options)));
    std::shared_ptr<Layer> opened = std::move(layer);
    co_return std::move(opened);
}

}  // namespace qed
