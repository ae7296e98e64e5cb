// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "policy.hpp"
#include "trace.hpp"

namespace qed::cache_sim {

/// The limit of lookups, so that a wrong option cannot use up the machine's memory.
inline constexpr std::uint64_t kMaxLookups = 50'000'000;

/// The L2 lookups of a trace: guest cluster numbers, one for each cluster that a request touches.
///
/// \param cluster_bytes  power of two
/// \param limit          stop after this many lookups
/// \errors  more than kMaxLookups lookups
std::expected<std::vector<std::uint64_t>, std::string> cluster_lookups(const Trace& trace,
                                                                       std::uint64_t cluster_bytes,
                                                                       std::uint64_t limit);

/// The rule for the bytes of the budget that an entry takes.
enum class EntryForm : std::uint8_t {
    raw,      ///< every entry in full
    compact,  ///< bitmap with rank and 4 bytes for each cluster that the trace ever touches
};

/// The costs of entries.
struct EntryCost {
    std::uint32_t raw_bytes = 4096;  ///< bytes of table in one entry: the granularity
    std::uint32_t record_bytes = 0;  ///< added to every entry
    EntryForm form = EntryForm::raw;
};

/// A trace as the cache sees it at one granularity.
struct Workload {
    std::vector<EntryId> lookups;
    std::vector<std::uint32_t> entry_bytes;  ///< indexed by EntryId
};

/// Groups `clusters` into entries of cost.raw_bytes / 8 neighbouring clusters.
Workload make_workload(std::span<const std::uint64_t> clusters, const EntryCost& cost);

}  // namespace qed::cache_sim
