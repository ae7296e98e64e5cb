// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/entry_repair.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/endian.hpp"
#include "formats/qed/check/cluster_copy.hpp"
#include "formats/qed/check/entry_findings.hpp"
#include "formats/qed/check/table_walk.hpp"

namespace qed {

namespace {

using Verdict = EntryInspector::Verdict;

constexpr std::string_view kCleared = "the entry was cleared";

/// One repair of a whole image. The steps are run in the order of the declarations.
class EntryRepair {
public:
    EntryRepair(BlockFile& file, const CheckOptions& options, Findings& findings)
        : file_(file), options_(options), findings_(findings) {}

    Task<Result<void>> run();

private:
    /// Which entries a walk over the tables changes: copies out of tables come first, because
    /// clearing entries changes the bytes of tables.
    enum class Step : std::uint8_t { copy_from_tables, everything_else };
    /// What a step has changed in a piece of a table.
    struct Changes {
        std::optional<std::size_t> first;
        std::size_t last = 0;
        bool made_copies = false;
        void note(std::size_t i) {
            if (!first) first = i;
            last = i;
        }
    };

    Task<Result<void>> load();
    Task<Result<void>> extend_file();
    Task<Result<void>> repair_l1();
    Task<Result<void>> copy_table(BadL1Entry bad);
    Task<Result<bool>> copy_table_entries(BadL1Entry bad, FileOffset to);
    void clean_copied_entries(const BadL1Entry& bad, std::uint64_t first_index,
                              std::span<std::uint64_t> entries);
    Task<Result<void>> repair_l2(Step step);
    Task<Result<void>> name_copies_of_tables();
    Task<Result<void>> repair_piece(TableWalk& walk, TableWalk::Piece piece, EntryInspector& judge,
                                    Step step);
    Task<Result<void>> copy_apart(TableWalk::Piece piece, std::size_t i, Verdict verdict,
                                  std::optional<GuestOffset> owner, Changes& changes);

    BlockFile& file_;
    const CheckOptions& options_;
    Findings& findings_;
    std::optional<ImageTables> image_;
    std::optional<ScanResult> scan_;
    // From before copies extended the file: entries that named clusters past this end named
    // nothing.
    EntryLimits limits_;
    std::optional<ScanResult> first_scan_;
    std::optional<CopySpace> space_;
    std::optional<ClusterCopy> copier_;
    // Written after all copies out of tables are made, because it changes the bytes that others
    // copy.
    struct NewEntry {
        FileOffset at;
        std::uint64_t entry = 0;
    };
    std::vector<NewEntry> new_entries_;
};

Task<Result<void>> EntryRepair::run() {
    Result<ClusterCopy> copier = ClusterCopy::create(file_);
    if (!copier) co_return pass(copier);
    copier_.emplace(std::move(*copier));
    QED_CO_CHECK(co_await load());
    QED_CO_CHECK(co_await extend_file());
    limits_ = image_->limits();
    limits_.l2_tables = {};  // belongs to the image as it is now
    first_scan_ = std::move(scan_);
    Result<CopySpace> space =
        CopySpace::create(image_->file_bytes(), image_->geometry(), first_scan_->entries.beyond());
    if (!space) co_return pass(space);
    space_.emplace(std::move(*space));
    QED_CO_CHECK(co_await repair_l1());
    QED_CO_CHECK(co_await load());
    QED_CO_CHECK(co_await repair_l2(Step::copy_from_tables));
    QED_CO_CHECK(co_await name_copies_of_tables());
    QED_CO_CHECK(co_await repair_l2(Step::everything_else));
    co_return co_await file_.flush();
}

Task<Result<void>> EntryRepair::load() {
    Result<ImageTables> image = co_await ImageTables::load(file_);
    if (!image) co_return pass(image);
    image_.emplace(std::move(*image));
    Result<ScanResult> scan = co_await scan_tables(*image_, options_);
    if (!scan) co_return pass(scan);
    if (!scan->unreadable.empty()) {
        co_return fail(Errc::io_error, fmt::format("{}: the L2 table at {:#x} cannot be read, so "
                                                   "nothing can be repaired",
                                                   file_.name(), scan->unreadable[0].offset));
    }
    scan_.emplace(std::move(*scan));
    co_return {};
}

Task<Result<void>> EntryRepair::extend_file() {
    const Geometry& geometry = image_->geometry();
    const std::uint64_t old_bytes = image_->file_bytes();
    std::uint64_t bytes = old_bytes;
    if (scan_->entries.totals().cut_short > 0) bytes = geometry.round_up_cluster(old_bytes);
    for (const BadL1Entry& bad : image_->bad_l1_entries()) {
        if (bad.fault != EntryFault::cut_short) continue;
        bytes = std::max(bytes, bad.entry + geometry.table_bytes());
    }
    if (bytes == old_bytes) co_return {};
    QED_CO_CHECK(co_await file_.truncate(bytes));
    QED_CO_CHECK(co_await file_.flush());
    ++findings_.report().corruptions_fixed;
    findings_.add(Finding::Kind::bad_l2_entry, {}, 0, true, [&] {
        return fmt::format(
            "the file ends at {:#x}, inside a cluster or table that is in use; it "
            "was extended to {:#x}, and the missing bytes read as zeroes",
            old_bytes, bytes);
    });
    co_return co_await load();
}

Task<Result<void>> EntryRepair::repair_l1() {
    // Entries that name nothing are cleared first, and durably: they could name a copy that is made
    // later.
    for (const BadL1Entry& bad : image_->bad_l1_entries()) {
        if (bad.fault == EntryFault::in_l2_table) continue;
        QED_CO_CHECK(co_await image_->write_l1_entry(bad.index, kRawUnallocated));
        ++findings_.report().corruptions_fixed;
        add_bad_l1_finding(findings_, *image_, bad, kCleared);
    }
    QED_CO_CHECK(co_await file_.flush());
    for (const BadL1Entry& bad : image_->bad_l1_entries()) {
        if (bad.fault == EntryFault::in_l2_table) QED_CO_CHECK(co_await copy_table(bad));
    }
    co_return {};
}

Task<Result<void>> EntryRepair::copy_table(BadL1Entry bad) {
    const std::optional<FileOffset> to = space_->take(image_->geometry().table_clusters());
    if (!to) {
        // No reader has ever read data through it, so no readable data is lost.
        QED_CO_CHECK(co_await image_->write_l1_entry(bad.index, kRawUnallocated));
        ++findings_.report().corruptions_fixed;
        add_bad_l1_finding(findings_, *image_, bad,
                           "the entry was cleared: one repair copies at most 64 MiB, or as "
                           "much as the file had");
        co_return {};
    }
    Result<bool> copied = co_await copy_table_entries(bad, *to);
    if (!copied) co_return pass(copied);
    if (!*copied) {
        add_bad_l1_finding(findings_, *image_, bad, {});
        co_return {};
    }
    QED_CO_CHECK(co_await file_.flush());
    QED_CO_CHECK(co_await image_->write_l1_entry(bad.index, to->value));
    QED_CO_CHECK(co_await file_.flush());
    ++findings_.report().corruptions_fixed;
    add_bad_l1_finding(findings_, *image_, bad,
                       fmt::format("the table was copied to {:#x}", to->value));
    co_return {};
}

Task<Result<bool>> EntryRepair::copy_table_entries(BadL1Entry bad, FileOffset to) {
    const std::uint64_t table_bytes = image_->geometry().table_bytes();
    QED_CO_CHECK(co_await file_.truncate(to.value + table_bytes));
    std::vector<TablePlace> order{{bad.entry, bad.index}};
    Result<TableWalk> walk = TableWalk::create(*image_, std::move(order));
    if (!walk) co_return pass(walk);
    while (true) {
        Result<std::optional<TableWalk::Piece>> read = co_await walk->next();
        if (!read) co_return false;
        if (!*read) co_return true;
        TableWalk::Piece piece = **read;
        clean_copied_entries(bad, piece.first_index, piece.entries);
        piece.table.offset = to.value;
        QED_CO_CHECK(co_await walk->write_back(piece, 0, piece.entries.size() - 1));
    }
}

void EntryRepair::clean_copied_entries(const BadL1Entry& bad, std::uint64_t first_index,
                                       std::span<std::uint64_t> entries) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (classify_l2_entry(entries[i], limits_) != EntryKind::bad) continue;
        const std::uint64_t index = first_index + i;
        const L2EntryPlace place{{bad.entry}, index, image_->guest_offset(bad.index, index)};
        add_bad_l2_finding(findings_, *image_, entries[i], place, limits_, kCleared);
        ++findings_.report().corruptions_fixed;
        entries[i] = kRawUnallocated;
    }
}

Task<Result<void>> EntryRepair::repair_l2(Step step) {
    EntryLimits limits = limits_;
    limits.l2_tables = image_->table_offsets();
    Result<EntryInspector> judge =
        EntryInspector::create(limits, image_->geometry(), scan_->entries.repeated());
    if (!judge) co_return pass(judge);
    Result<TableWalk> walk = TableWalk::create(*image_, image_->tables_in_guest_order());
    if (!walk) co_return pass(walk);
    while (true) {
        Result<std::optional<TableWalk::Piece>> piece = co_await walk->next();
        if (!piece) co_return pass(piece);
        if (!*piece) co_return {};
        QED_CO_CHECK(co_await repair_piece(*walk, **piece, *judge, step));
    }
}

Task<Result<void>> EntryRepair::name_copies_of_tables() {
    if (new_entries_.empty()) co_return {};
    QED_CO_CHECK(co_await file_.flush());
    for (const NewEntry& made : new_entries_) {
        std::array<std::byte, sizeof(made.entry)> raw{};
        store_le64(raw, 0, made.entry);
        QED_CO_CHECK(co_await file_.write(made.at, raw));
    }
    co_return {};
}

Task<Result<void>> EntryRepair::repair_piece(TableWalk& walk, TableWalk::Piece piece,
                                             EntryInspector& judge, Step step) {
    Changes changes;
    for (std::size_t i = 0; i < piece.entries.size(); ++i) {
        const std::uint64_t entry = piece.entries[i];
        if (entry <= kRawZero || space_->has_taken(entry)) continue;
        const L2EntryPlace place = piece.place(*image_, i);
        const Verdict verdict = judge.judge(entry, place.guest);
        if (verdict == Verdict::good) continue;
        const bool is_turn = (verdict == Verdict::names_table) == (step == Step::copy_from_tables);
        if (!is_turn) continue;
        if (verdict == Verdict::bad) {
            add_bad_l2_finding(findings_, *image_, entry, place, limits_, kCleared);
            ++findings_.report().corruptions_fixed;
            piece.entries[i] = kRawUnallocated;
            changes.note(i);
            continue;
        }
        const std::optional<GuestOffset> owner = judge.first_owner(entry);
        QED_CO_CHECK(co_await copy_apart(piece, i, verdict, owner, changes));
    }
    if (step == Step::copy_from_tables || !changes.first) co_return {};
    if (changes.made_copies) QED_CO_CHECK(co_await file_.flush());
    co_return co_await walk.write_back(piece, *changes.first, changes.last);
}

Task<Result<void>> EntryRepair::copy_apart(TableWalk::Piece piece, std::size_t i, Verdict verdict,
                                           std::optional<GuestOffset> owner, Changes& changes) {
    const std::uint64_t entry = piece.entries[i];
    std::string done;
    const std::optional<FileOffset> to = space_->take(1);
    if (to) {
        const std::uint64_t bytes = image_->geometry().cluster_bytes();
        const FileOffset from{entry};
        Result<bool> copied = co_await copier_->copy(from, *to, bytes);
        if (!copied) co_return pass(copied);
        if (*copied && verdict == Verdict::names_table) {
            const std::uint64_t index = piece.first_index + i;
            new_entries_.push_back(
                {FileOffset{piece.table.offset + index * sizeof(entry)}, to->value});
        } else if (*copied) {
            piece.entries[i] = to->value;
            changes.note(i);
            changes.made_copies = true;
        }
        if (*copied) {
            ++findings_.report().corruptions_fixed;
            done = fmt::format("it got its own copy at {:#x}", to->value);
        }
    }
    const L2EntryPlace place = piece.place(*image_, i);
    if (verdict == Verdict::names_table) {
        add_names_table_finding(findings_, *image_, entry, place, done);
    } else {
        add_repeated_finding(findings_, *image_, entry, place, owner, done);
    }
    co_return {};
}

}  // namespace

Task<Result<void>> describe_bad_entries(const ImageTables& image, const ScanResult& scan,
                                        Findings& findings) {
    for (const BadL1Entry& bad : image.bad_l1_entries())
        add_bad_l1_finding(findings, image, bad, {});
    const EntryLimits limits = image.limits();
    Result<EntryInspector> judge =
        EntryInspector::create(limits, image.geometry(), scan.entries.repeated());
    if (!judge) co_return pass(judge);
    Result<TableWalk> walk = TableWalk::create(image, image.tables_in_guest_order());
    if (!walk) co_return pass(walk);
    std::uint64_t left = scan.bad_entries();
    while (left > 0 && !findings.is_full()) {
        Result<std::optional<TableWalk::Piece>> read = co_await walk->next();
        if (!read) continue;  // the scan has noted that this one cannot be read
        if (!*read) break;
        const TableWalk::Piece& piece = **read;
        for (std::size_t i = 0; i < piece.entries.size() && !findings.is_full(); ++i) {
            const std::uint64_t entry = piece.entries[i];
            const L2EntryPlace place = piece.place(image, i);
            const Verdict verdict = judge->judge(entry, place.guest);
            if (verdict == Verdict::good) continue;
            --left;
            switch (verdict) {
                case Verdict::good:
                    break;
                case Verdict::bad:
                    add_bad_l2_finding(findings, image, entry, place, limits, {});
                    break;
                case Verdict::names_table:
                    add_names_table_finding(findings, image, entry, place, {});
                    break;
                case Verdict::repeated:
                    add_repeated_finding(findings, image, entry, place, judge->first_owner(entry),
                                         {});
                    break;
            }
        }
    }
    findings.report().findings_omitted += left;
    co_return {};
}

Task<Result<void>> repair_bad_entries(BlockFile& file, const CheckOptions& options,
                                      Findings& findings) {
    EntryRepair repair(file, options, findings);
    co_return co_await repair.run();
}

}  // namespace qed
