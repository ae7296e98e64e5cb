// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "formats/qed/check/findings.hpp"
#include "formats/qed/check/image_tables.hpp"
#include "formats/qed/check/table_walk.hpp"

namespace qed {

// One function for each kind of fault of an entry. `done` describes the repair; empty: none.

void add_bad_l1_finding(Findings& findings, const ImageTables& image, const BadL1Entry& bad,
                        std::string_view done);
void add_bad_l2_finding(Findings& findings, const ImageTables& image, std::uint64_t entry,
                        const L2EntryPlace& place, const EntryLimits& limits,
                        std::string_view done);
void add_names_table_finding(Findings& findings, const ImageTables& image, std::uint64_t entry,
                             const L2EntryPlace& place, std::string_view done);
void add_repeated_finding(Findings& findings, const ImageTables& image, std::uint64_t entry,
                          const L2EntryPlace& place, std::optional<GuestOffset> first_owner,
                          std::string_view done);

}  // namespace qed
