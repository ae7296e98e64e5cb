// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/free_space.hpp"

#include <cerrno>

#include <fmt/format.h>

#include "base/mutants.hpp"
#include "formats/qed/check/entry_repair.hpp"
#include "formats/qed/check/findings.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "formats/qed/check/table_scan.hpp"
#include "formats/qed/check/table_walk.hpp"
#include "formats/qed/check/unnamed_clusters.hpp"

namespace qed {
namespace {

Task<Result<void>> refuse(const ImageTables& image, const ScanResult& scan) {
    CheckReport report;
    CheckOptions options;
    options.finding_limit = 1;
    Findings findings(report, options);
    QED_CO_CHECK(co_await describe_bad_entries(image, scan, findings));
    const std::string found =
        report.findings.empty() ? std::string("a table is bad") : report.findings[0].message;
    co_return fail(Errc::needs_check, fmt::format("{}: {}; run 'qed check -r all' on it before "
                                                  "writing",
                                                  image.file().name(), found));
}

void hand_over(BlockFile& file, unsigned cluster_bits, const ClusterSet& used,
               ClusterAllocator& allocator) {
    const std::uint64_t clusters = allocator.end() >> cluster_bits;
    visit_unnamed(file, used, clusters, cluster_bits, kMaxQuestions, [&](const UnnamedRun& run) {
        const std::uint64_t end = run.first + run.count;
        const bool takes_one_more = end < clusters && used.contains(end) &&
                                    detail::mutant(detail::Mutant::named_cluster_found_free);
        allocator.add_found({run.first, run.count + (takes_one_more ? 1 : 0)}, run.is_hole);
    });
}

// For a mutant.
Task<Result<void>> miss_table(const ImageTables& image, ClusterSet& used) {
    if (image.tables().empty()) co_return {};
    Result<TableWalk> walk = TableWalk::create(image, {image.tables().back()});
    if (!walk) co_return pass(walk);
    for (;;) {
        Result<std::optional<TableWalk::Piece>> piece = co_await walk->next();
        if (!piece) co_return pass(piece);
        if (!*piece) co_return {};
        for (const std::uint64_t entry : (**piece).entries) {
            if (entry > kRawZero) used.erase(entry >> image.geometry().cluster_bits());
        }
    }
}

}  // namespace

Task<Result<void>> find_free_space(BlockFile& file, ClusterAllocator& allocator, unsigned threads) {
    Result<ImageTables> image = co_await ImageTables::load(file);
    if (!image) co_return pass(image);
    CheckOptions options;
    options.threads = threads;
    Result<ScanResult> scan = co_await scan_tables(*image, options);
    if (!scan) co_return pass(scan);
    if (!scan->unreadable.empty()) {
        co_return std::unexpected(
            Error::from_errno(EIO, fmt::format("{}: the L2 table at {:#x} cannot be read",
                                               file.name(), scan->unreadable.front().offset)));
    }
    if (!image->bad_l1_entries().empty() || scan->bad_entries() != 0) {
        co_return co_await refuse(*image, *scan);
    }
    ClusterSet& used = scan->entries.used();
    if (detail::mutant(detail::Mutant::scan_misses_table)) {
        QED_CO_CHECK(co_await miss_table(*image, used));
    }
    hand_over(file, image->geometry().cluster_bits(), used, allocator);
    co_return {};
}

}  // namespace qed
