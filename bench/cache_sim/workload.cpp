// SPDX-License-Identifier: Apache-2.0
#include "workload.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

namespace qed::cache_sim {
namespace {

constexpr std::uint32_t kTableEntryBytes = 8;

// One bit per cluster, a 16-bit rank per 64 bits, and a 32-bit cluster number per mapped cluster.
std::uint32_t compact_bytes(std::uint32_t entries, std::uint32_t mapped) {
    const std::uint32_t words = (entries + 63) / 64;
    return words * (8 + 2) + mapped * 4;
}

std::uint64_t touched_clusters(const Request& request, std::uint64_t cluster_bytes) {
    if (request.length == 0) return 0;
    const std::uint64_t last = request.offset + request.length - 1;
    return last / cluster_bytes - request.offset / cluster_bytes + 1;
}

}  // namespace

std::expected<std::vector<std::uint64_t>, std::string> cluster_lookups(const Trace& trace,
                                                                       std::uint64_t cluster_bytes,
                                                                       std::uint64_t limit) {
    std::uint64_t count = 0;
    for (const Request& request : trace.requests) {
        count = std::min(limit, count + touched_clusters(request, cluster_bytes));
    }
    if (count > kMaxLookups) {
        return std::unexpected(
            fmt::format("trace {} has more than {} lookups; use --lookups to take its beginning",
                        trace.name, kMaxLookups));
    }
    std::vector<std::uint64_t> clusters;
    clusters.reserve(count);
    for (const Request& request : trace.requests) {
        const std::uint64_t first = request.offset / cluster_bytes;
        const std::uint64_t touched = touched_clusters(request, cluster_bytes);
        for (std::uint64_t i = 0; i < touched && clusters.size() < count; ++i) {
            clusters.push_back(first + i);
        }
    }
    return clusters;
}

Workload make_workload(std::span<const std::uint64_t> clusters, const EntryCost& cost) {
    const std::uint32_t entries = cost.raw_bytes / kTableEntryBytes;
    Workload workload;
    workload.lookups.reserve(clusters.size());
    std::unordered_map<std::uint64_t, EntryId> ids;
    for (const std::uint64_t cluster : clusters) {
        const auto next = static_cast<EntryId>(ids.size());
        workload.lookups.push_back(ids.try_emplace(cluster / entries, next).first->second);
    }
    workload.entry_bytes.assign(ids.size(), cost.raw_bytes + cost.record_bytes);
    if (cost.form == EntryForm::raw) return workload;

    std::vector<std::uint32_t> mapped(ids.size());
    std::unordered_set<std::uint64_t> touched;
    for (std::size_t step = 0; step < clusters.size(); ++step) {
        if (touched.insert(clusters[step]).second) ++mapped[workload.lookups[step]];
    }
    for (std::size_t entry = 0; entry < mapped.size(); ++entry) {
        const std::uint32_t compact = compact_bytes(entries, mapped[entry]);
        workload.entry_bytes[entry] = std::min(compact, cost.raw_bytes) + cost.record_bytes;
    }
    return workload;
}

}  // namespace qed::cache_sim
