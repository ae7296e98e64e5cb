// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "qed/check.hpp"

namespace qed {

/// Collects findings for a report, up to its limit; counts the rest.
class Findings {
public:
    Findings(CheckReport& report, const CheckOptions& options)
        : report_(report), limit_(options.finding_limit) {}

    /// `describe()` returns the message; it is not called past the limit.
    template <class Describe>
    void add(Finding::Kind kind, GuestOffset guest, std::uint64_t length, bool repaired,
             Describe describe) {
        if (is_full()) {
            ++report_.findings_omitted;
            return;
        }
        Finding finding;
        finding.kind = kind;
        finding.guest_offset = guest.value;
        finding.length = length;
        finding.message = describe();
        finding.repaired = repaired;
        report_.findings.push_back(std::move(finding));
    }
    bool is_full() const { return report_.findings.size() >= limit_; }
    CheckReport& report() { return report_; }

private:
    CheckReport& report_;
    std::uint32_t limit_;
};

}  // namespace qed
