// SPDX-License-Identifier: Apache-2.0
#include "cli/reports/check_text.hpp"

#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/options.hpp"

namespace qed::cli {
namespace {

constexpr int kExitCorrupt = 2;
constexpr int kExitLeaks = 3;

using Json = nlohmann::ordered_json;

std::string_view kind_name(Finding::Kind kind) {
    switch (kind) {
        case Finding::Kind::bad_l1_entry:
            return "bad-l1-entry";
        case Finding::Kind::bad_l2_entry:
            return "bad-l2-entry";
        case Finding::Kind::duplicate_cluster:
            return "duplicate-cluster";
        case Finding::Kind::unreadable_table:
            return "unreadable-table";
        case Finding::Kind::leaked_clusters:
            return "leaked-clusters";
        case Finding::Kind::not_cleared:
            return "not-cleared";
    }
    return "unknown";
}

void append_findings(std::string& text, const CheckReport& report) {
    for (const Finding& finding : report.findings) {
        const bool is_leak = finding.kind == Finding::Kind::leaked_clusters;
        text += fmt::format("{}{}: {}\n", finding.repaired ? "Repaired " : "",
                            is_leak ? "leak" : "ERROR", finding.message);
    }
    if (report.findings_omitted > 0) {
        text += fmt::format("... and {} more\n", report.findings_omitted);
    }
}

double percent(std::uint64_t part, std::uint64_t whole) {
    return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

void append_repairs(std::string& text, const CheckReport& first) {
    text += fmt::format(
        "The following inconsistencies were found and repaired:\n\n"
        "    {} leaked clusters\n    {} corruptions\n\n"
        "Double checking the fixed image now...\n",
        first.leaks_fixed, first.corruptions_fixed);
}

void append_verdict(std::string& text, const CheckReport& report) {
    if (report.corruptions + report.leaks + report.check_errors == 0) {
        text += "No errors were found on the image.\n";
    }
    if (report.corruptions > 0) {
        text += fmt::format(
            "\n{} errors were found on the image.\n"
            "Data may be corrupted, or further writes to the image may corrupt it.\n",
            report.corruptions);
    }
    if (report.leaks > 0) {
        text += fmt::format(
            "\n{} leaked clusters were found on the image.\n"
            "This means waste of disk space, but no harm to data.\n",
            report.leaks);
    }
    if (report.free_clusters > 0) {
        text += fmt::format("{} free clusters: holes in the file, which the next writes fill.\n",
                            report.free_clusters);
    }
    if (report.check_errors > 0) {
        text += fmt::format("\n{} internal errors have occurred during the check.\n",
                            report.check_errors);
    }
}

Json json_of(const Finding& finding) {
    Json json;
    json["kind"] = kind_name(finding.kind);
    json["guest-offset"] = finding.guest_offset;
    json["length"] = finding.length;
    json["message"] = finding.message;
    json["repaired"] = finding.repaired;
    return json;
}

}  // namespace

std::string check_text(const CheckReport& first, const CheckReport& last) {
    std::string text;
    append_findings(text, first);
    if (first.corruptions_fixed + first.leaks_fixed > 0) append_repairs(text, first);
    append_verdict(text, last);
    if (first.was_dirty && !last.is_dirty) {
        text += "The image was not closed cleanly; its NEED_CHECK mark is now cleared.\n";
    } else if (last.is_dirty) {
        text += "The image was not closed cleanly; 'qed check -r all' clears its mark.\n";
    }
    if (last.total_clusters > 0 && last.allocated_clusters > 0) {
        text += fmt::format(
            "{}/{} = {:.2f}% allocated, {:.2f}% fragmented, 0.00% compressed "
            "clusters\n",
            last.allocated_clusters, last.total_clusters,
            percent(last.allocated_clusters, last.total_clusters),
            percent(last.fragmented_clusters, last.allocated_clusters));
    }
    return text;
}

std::string check_json(const std::string& file, const CheckReport& first, const CheckReport& last) {
    Json json;
    const auto add_unless_zero = [&json](const char* key, std::uint64_t value) {
        if (value > 0) json[key] = value;
    };
    json["image-end-offset"] = last.image_end_offset;
    json["total-clusters"] = last.total_clusters;
    add_unless_zero("corruptions-fixed", first.corruptions_fixed);
    add_unless_zero("leaks-fixed", first.leaks_fixed);
    add_unless_zero("corruptions", last.corruptions);
    json["check-errors"] = last.check_errors;
    add_unless_zero("leaks", last.leaks);
    add_unless_zero("free-clusters", last.free_clusters);
    add_unless_zero("allocated-clusters", last.allocated_clusters);
    add_unless_zero("fragmented-clusters", last.fragmented_clusters);
    json["filename"] = file;
    json["format"] = "qed";
    json["dirty-flag"] = last.is_dirty;
    Json findings = Json::array();
    for (const Finding& finding : first.findings)
        findings.push_back(json_of(finding));
    json["findings"] = std::move(findings);
    add_unless_zero("findings-omitted", first.findings_omitted);
    return dump_json(json);
}

int check_exit_status(const CheckReport& report) {
    if (report.check_errors > 0) return 1;
    if (report.corruptions > 0) return kExitCorrupt;
    if (report.leaks > 0) return kExitLeaks;
    return 0;
}

}  // namespace qed::cli
