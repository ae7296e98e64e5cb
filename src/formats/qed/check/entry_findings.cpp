// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/entry_findings.hpp"

#include <fmt/format.h>

namespace qed {

namespace {

std::string with_outcome(std::string message, std::string_view done) {
    if (!done.empty()) message.append("; ").append(done);
    return message;
}

}  // namespace

void add_bad_l1_finding(Findings& findings, const ImageTables& image, const BadL1Entry& bad,
                        std::string_view done) {
    const GuestOffset guest = image.guest_offset(bad.index, 0);
    findings.add(Finding::Kind::bad_l1_entry, guest, image.geometry().table_span_bytes(),
                 !done.empty(), [&] {
                     std::string message = describe_bad_l1_entry(bad, image.limits());
                     message += fmt::format("; it maps {} guest bytes starting at {:#x}",
                                            image.geometry().table_span_bytes(), guest.value);
                     return with_outcome(std::move(message), done);
                 });
}

void add_bad_l2_finding(Findings& findings, const ImageTables& image, std::uint64_t entry,
                        const L2EntryPlace& place, const EntryLimits& limits,
                        std::string_view done) {
    findings.add(Finding::Kind::bad_l2_entry, place.guest, image.geometry().cluster_bytes(),
                 !done.empty(),
                 [&] { return with_outcome(describe_bad_l2_entry(entry, place, limits), done); });
}

void add_names_table_finding(Findings& findings, const ImageTables& image, std::uint64_t entry,
                             const L2EntryPlace& place, std::string_view done) {
    findings.add(
        Finding::Kind::duplicate_cluster, place.guest, image.geometry().cluster_bytes(),
        !done.empty(), [&] {
            return with_outcome(
                fmt::format("L2 table at {:#x}, entry {}: guest offset {:#x} has the cluster at "
                            "{:#x}, which belongs to an L2 table: the guest's data there is "
                            "unreliable",
                            place.table.value, place.index, place.guest.value, entry),
                done);
        });
}

void add_repeated_finding(Findings& findings, const ImageTables& image, std::uint64_t entry,
                          const L2EntryPlace& place, std::optional<GuestOffset> first_owner,
                          std::string_view done) {
    const std::uint64_t bytes = image.geometry().cluster_bytes();
    findings.add(Finding::Kind::duplicate_cluster, place.guest, bytes, !done.empty(), [&] {
        const std::string other = first_owner
                                      ? fmt::format("guest offset {:#x}", first_owner->value)
                                      : std::string("a lower guest offset");
        return with_outcome(
            fmt::format("L2 table at {:#x}, entry {}: guest offset {:#x} has the cluster at {:#x}, "
                        "which {} has too: the content of both, {} bytes each, is unreliable",
                        place.table.value, place.index, place.guest.value, entry, other, bytes),
            done);
    });
}

}  // namespace qed
