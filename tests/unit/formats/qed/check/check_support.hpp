// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "qed/check.hpp"

namespace qed::test {

inline Result<CheckReport> try_check(BlockFile& file, Repair repair = Repair::none) {
    CheckOptions options;
    options.repair = repair;
    return sync_wait(check_file(file, options));
}

/// A check that must not fail.
inline CheckReport check(BlockFile& file, Repair repair = Repair::none) {
    Result<CheckReport> report = try_check(file, repair);
    if (!report) {
        ADD_FAILURE() << report.error().message();
        return {};
    }
    return std::move(*report);
}

/// The message of the only finding of `kind`; empty if there is not exactly one.
inline std::string only_message(const CheckReport& report, Finding::Kind kind) {
    std::string message;
    int count = 0;
    for (const Finding& finding : report.findings) {
        if (finding.kind != kind) continue;
        message = finding.message;
        ++count;
    }
    return count == 1 ? message : std::string();
}

}  // namespace qed::test
