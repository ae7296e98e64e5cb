// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/check.hpp"

#include <limits>
#include <optional>

#include <fmt/format.h>

#include "formats/qed/check/entry_repair.hpp"
#include "formats/qed/check/findings.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "formats/qed/check/leak_reclaim.hpp"
#include "formats/qed/check/table_scan.hpp"
#include "formats/qed/check/unnamed_clusters.hpp"

namespace qed {

namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

/// One check of an image, with the requested repairs.
class Check {
public:
    Check(BlockFile& file, const CheckOptions& options)
        : file_(file), options_(options), findings_(report_, options) {}

    Task<Result<void>> run();
    CheckReport take_report() { return std::move(report_); }

private:
    Task<Result<void>> look();
    Task<Result<void>> repair_entries();
    Task<Result<void>> reclaim();
    Task<Result<void>> mark_dirty();
    Task<Result<void>> mark_clean();
    Task<Result<void>> clear_autoclear_bits();
    void count();
    void describe_unreadable();
    void describe_leaks(bool repaired, std::uint64_t leaks);
    void describe_dirty();

    bool repairs_entries() const {
        return options_.repair == Repair::entries || options_.repair == Repair::all;
    }
    bool repairs_leaks() const {
        return options_.repair == Repair::leaks || options_.repair == Repair::all;
    }

    BlockFile& file_;
    CheckOptions options_;
    CheckReport report_;
    Findings findings_;
    std::optional<ImageTables> image_;
    std::optional<ScanResult> scan_;
};

Task<Result<void>> Check::run() {
    if (options_.repair != Repair::none && file_.is_read_only()) {
        co_return fail(Errc::read_only,
                       fmt::format("{}: a repair was requested, but the file is open read-only",
                                   file_.name()));
    }
    QED_CO_CHECK(co_await look());
    report_.was_dirty = image_->header().needs_check();
    count();
    describe_unreadable();
    if (report_.corruptions > 0 && repairs_entries() && report_.check_errors == 0) {
        QED_CO_CHECK(co_await repair_entries());
    } else if (report_.corruptions > 0) {
        QED_CO_CHECK(co_await describe_bad_entries(*image_, *scan_, findings_));
    }
    const bool is_sound = report_.corruptions == 0 && report_.check_errors == 0;
    const bool moves_free = options_.shortens && report_.free_clusters > 0;
    if (is_sound && repairs_leaks() && (report_.leaks > 0 || moves_free)) {
        QED_CO_CHECK(co_await reclaim());
    } else if (report_.leaks > 0) {
        describe_leaks(false, report_.leaks);
    }
    if (is_sound && options_.repair != Repair::none && image_->header().needs_check()) {
        QED_CO_CHECK(co_await mark_clean());
    }
    report_.is_dirty = image_->header().needs_check();
    describe_dirty();
    co_return {};
}

Task<Result<void>> Check::look() {
    Result<ImageTables> image = co_await ImageTables::load(file_);
    if (!image) co_return pass(image);
    image_.emplace(std::move(*image));
    Result<ScanResult> scan = co_await scan_tables(*image_, options_);
    if (!scan) co_return pass(scan);
    scan_.emplace(std::move(*scan));
    co_return {};
}

void Check::count() {
    const Geometry& geometry = image_->geometry();
    const EntryTotals& totals = scan_->entries.totals();
    const ClusterSet& used = scan_->entries.used();
    report_.image_end_offset = (used.last_below(used.bound()) + 1) << geometry.cluster_bits();
    report_.total_clusters = geometry.clusters_for(image_->header().image_bytes);
    report_.allocated_clusters = totals.data;
    report_.zero_clusters = totals.zero;
    report_.fragmented_clusters = totals.fragmented;
    report_.corruptions = image_->bad_l1_entries().size() + scan_->bad_entries();
    report_.check_errors = scan_->unreadable.size();
    // No cluster counts as free or leaked if a table could not be read, because that table may name
    // it. Bytes after the last whole cluster are no cluster.
    const std::uint64_t clusters = image_->file_bytes() >> geometry.cluster_bits();
    report_.leaks = 0;
    report_.free_clusters = 0;
    if (report_.check_errors != 0) return;
    visit_unnamed(file_, used, clusters, geometry.cluster_bits(), kNoLimit,
                  [this](const UnnamedRun& run) {
                      (run.is_hole ? report_.free_clusters : report_.leaks) += run.count;
                  });
}

void Check::describe_unreadable() {
    for (const TablePlace& table : scan_->unreadable) {
        const GuestOffset guest = image_->guest_offset(table.l1_index, 0);
        const std::uint64_t bytes = image_->geometry().table_span_bytes();
        findings_.add(Finding::Kind::unreadable_table, guest, bytes, false, [&] {
            return fmt::format(
                "the L2 table at {:#x}, for {} guest bytes starting at {:#x}, cannot be "
                "read; leaks cannot be found and nothing is repaired",
                table.offset, bytes, guest.value);
        });
    }
}

Task<Result<void>> Check::repair_entries() {
    scan_.reset();  // the repair makes its own, and one is enough
    QED_CO_CHECK(co_await mark_dirty());
    QED_CO_CHECK(co_await repair_bad_entries(file_, options_, findings_));
    QED_CO_CHECK(co_await look());
    count();
    co_return {};
}

Task<Result<void>> Check::reclaim() {
    const std::uint64_t leaks = report_.leaks + (options_.shortens ? report_.free_clusters : 0);
    QED_CO_CHECK(co_await clear_autoclear_bits());
    ClusterSet& used = scan_->entries.used();
    QED_CO_CHECK(co_await reclaim_leaks(*image_, used, options_));
    report_.image_end_offset = (used.last_below(used.bound()) + 1)
                               << image_->geometry().cluster_bits();
    report_.leaks = 0;
    report_.leaks_fixed = leaks;
    report_.free_clusters = 0;
    describe_leaks(true, leaks);
    co_return {};
}

void Check::describe_leaks(bool repaired, std::uint64_t leaks) {
    const std::uint64_t bytes = leaks << image_->geometry().cluster_bits();
    findings_.add(Finding::Kind::leaked_clusters, {}, bytes, repaired, [&] {
        return fmt::format(
            "{} clusters, {} bytes of the file, are named by no table{}", leaks, bytes,
            repaired ? "; they were reclaimed"
                     : ": this wastes space and loses no data; the next program that opens the "
                       "image for writing reclaims them");
    });
}

// NEED_CHECK is durable before the first change that could break a rule, and is cleared only when
// all changes are durable (docs/format.md section 3).

Task<Result<void>> Check::mark_dirty() {
    Header header = image_->header();
    header.features |= feature::kNeedCheck;
    header.autoclear_features = 0;
    QED_CO_CHECK(co_await image_->write_header(header));
    co_return co_await file_.flush();
}

Task<Result<void>> Check::mark_clean() {
    QED_CO_CHECK(co_await file_.flush());
    Header header = image_->header();
    header.features &= ~feature::kNeedCheck;
    header.autoclear_features = 0;
    QED_CO_CHECK(co_await image_->write_header(header));
    co_return co_await file_.flush();
}

Task<Result<void>> Check::clear_autoclear_bits() {
    Header header = image_->header();
    if (header.autoclear_features == 0) co_return {};
    header.autoclear_features = 0;
    QED_CO_CHECK(co_await image_->write_header(header));
    co_return co_await file_.flush();
}

void Check::describe_dirty() {
    if (!report_.is_dirty || options_.repair == Repair::none) return;
    findings_.add(Finding::Kind::not_cleared, {}, 0, false, [&] {
        const std::string_view what = report_.check_errors > 0 ? "tables that cannot be read"
                                                               : "corruption that is not repaired";
        return fmt::format(
            "NEED_CHECK stays set: the image has {}{}", what,
            options_.repair == Repair::leaks ? " (repairing leaks does not repair it)" : "");
    });
}

}  // namespace

Task<Result<CheckReport>> check_qed(BlockFile& file, CheckOptions options) {
    Check check(file, options);
    QED_CO_CHECK(co_await check.run());
    co_return check.take_report();
}

}  // namespace qed
