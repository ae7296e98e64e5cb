// SPDX-License-Identifier: Apache-2.0
#include "check/entry_scan.hpp"

#include <algorithm>

namespace qed {

namespace {

// A block is surveyed as a whole. Its size is fixed so that the compiler vectorizes the survey,
// and small so that one odd entry spoils little.
constexpr std::size_t kBlock = 64;

}  // namespace

EntryTotals& EntryTotals::operator+=(const EntryTotals& other) {
    data += other.data;
    zero += other.zero;
    bad += other.bad;
    repeated += other.repeated;
    fragmented += other.fragmented;
    cut_short += other.cut_short;
    return *this;
}

std::uint64_t repair_growth_clusters(std::uint64_t file_bytes, const Geometry& geometry) {
    constexpr std::uint64_t kSmallGrowth = std::uint64_t{64} << 20;
    return geometry.clusters_for(std::max(file_bytes, kSmallGrowth));
}

EntryScan::EntryScan(const EntryLimits& limits, const Geometry& geometry, ClusterSet used,
                     ClusterSet repeated, ClusterSet beyond)
    : limits_(limits),
      cluster_bits_(geometry.cluster_bits()),
      used_(std::move(used)),
      repeated_(std::move(repeated)),
      beyond_(std::move(beyond)) {}

Result<EntryScan> EntryScan::create(const EntryLimits& limits, const Geometry& geometry,
                                    std::uint64_t memory_limit) {
    const std::uint64_t clusters = geometry.clusters_for(limits.file_bytes);
    // Room for one more table: leaked clusters are reclaimed by moving tables about.
    Result<ClusterSet> used = ClusterSet::create(clusters + kMaxTableClusters, memory_limit);
    if (!used) return pass(used);
    Result<ClusterSet> repeated = ClusterSet::create(clusters, memory_limit);
    if (!repeated) return pass(repeated);
    const std::uint64_t growth = repair_growth_clusters(limits.file_bytes, geometry);
    Result<ClusterSet> beyond = ClusterSet::create(clusters + growth, memory_limit);
    if (!beyond) return pass(beyond);
    return EntryScan(limits, geometry, std::move(*used), std::move(*repeated), std::move(*beyond));
}

void EntryScan::add(std::span<const std::uint64_t> entries, EntryEnds& ends) {
    while (!entries.empty()) {
        const auto block = entries.first(std::min(entries.size(), kBlock));
        entries = entries.subspan(block.size());
        switch (block.size() == kBlock ? survey(block) : Survey::mixed) {
            case Survey::empty:
                break;
            case Survey::data:
                add_data(block, ends);
                break;
            case Survey::mixed:
                add_mixed(block, ends);
                break;
        }
    }
}

EntryScan::Survey EntryScan::survey(std::span<const std::uint64_t> entries) const {
    // Only additions, ands and ors, which SSE2 has for 64-bit numbers: a difference that is
    // negative, or a number past 2^63, shows in the sign bit.
    const std::uint64_t* const entry = entries.data();
    const std::uint64_t first = limits_.first_byte;
    const std::uint64_t last = first + limits_.inside_bytes - 1;
    const std::uint64_t l1_first = limits_.l1_begin;
    const std::uint64_t l1_last = l1_first + limits_.table_bytes - 1;
    std::uint64_t any = 0;
    std::uint64_t outside = 0;
    std::uint64_t apart_from_l1 = ~std::uint64_t{0};
    for (std::size_t i = 0; i < kBlock; ++i) {
        any |= entry[i];
        outside |= (entry[i] - first) | (last - entry[i]);
        apart_from_l1 &= (entry[i] - l1_first) | (l1_last - entry[i]);
    }
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    if (any == 0) return Survey::empty;
    const bool is_data = (any & limits_.cluster_mask) == 0 && ((any | outside) & kSign) == 0 &&
                         (apart_from_l1 & kSign) != 0;
    return is_data ? Survey::data : Survey::mixed;
}

bool EntryScan::is_one_run(std::span<const std::uint64_t> entries) const {
    const std::uint64_t* const entry = entries.data();
    const std::uint64_t step = limits_.cluster_mask + 1;
    std::uint64_t breaks = 0;
    for (std::size_t i = 1; i < kBlock; ++i)
        breaks |= (entry[i] - entry[i - 1]) ^ step;
    return breaks == 0;
}

void EntryScan::add_data(std::span<const std::uint64_t> entries, EntryEnds& ends) {
    const std::uint64_t step = limits_.cluster_mask + 1;
    const auto note_repeated = [this](std::uint64_t cluster) {
        repeated_.insert(cluster);
        ++totals_.repeated;
    };
    totals_.data += entries.size();
    if (ends.first == 0) ends.first = entries.front();
    const bool follows = ends.last == 0 || ends.last + step == entries.front();
    totals_.fragmented += follows ? 0 : 1;
    ends.last = entries.back();
    if (is_one_run(entries)) {
        used_.insert_run(entries.front() >> cluster_bits_, entries.size(), note_repeated);
        return;
    }
    std::uint64_t fragmented = 0;
    std::uint64_t expected = entries.front();
    for (const std::uint64_t entry : entries) {
        fragmented += entry == expected ? 0 : 1;
        expected = entry + step;
        const std::uint64_t cluster = entry >> cluster_bits_;
        if (used_.insert(cluster)) [[unlikely]]
            note_repeated(cluster);
    }
    totals_.fragmented += fragmented;
}

void EntryScan::add_mixed(std::span<const std::uint64_t> entries, EntryEnds& ends) {
    const std::uint64_t step = limits_.cluster_mask + 1;
    for (const std::uint64_t entry : entries) {
        if (entry <= kZeroEntry) {
            totals_.zero += entry;
            continue;
        }
        if (!limits_.is_place(entry)) {
            add_bad(entry);
            continue;
        }
        ++totals_.data;
        if (ends.first == 0) ends.first = entry;
        if (ends.last != 0 && ends.last + step != entry) ++totals_.fragmented;
        ends.last = entry;
        const std::uint64_t cluster = entry >> cluster_bits_;
        if (used_.insert(cluster)) {
            repeated_.insert(cluster);
            ++totals_.repeated;
        }
    }
}

void EntryScan::add_bad(std::uint64_t entry) {
    ++totals_.bad;
    const EntryFault fault = l2_entry_fault(entry, limits_);
    if (fault == EntryFault::cut_short) ++totals_.cut_short;
    if (fault == EntryFault::past_end && entry >> cluster_bits_ < beyond_.bound()) {
        beyond_.insert(entry >> cluster_bits_);
    }
}

void EntryScan::add_table(FileOffset at, std::uint64_t bytes) {
    used_.insert_run(at.value >> cluster_bits_, bytes >> cluster_bits_, [](std::uint64_t) {});
}

void EntryScan::merge(const EntryScan& other) {
    const auto note_repeated = [this](std::uint64_t cluster) {
        repeated_.insert(cluster);
        ++totals_.repeated;
    };
    const auto ignore = [](std::uint64_t) {};
    totals_ += other.totals_;
    used_.merge(other.used_, note_repeated);
    repeated_.merge(other.repeated_, ignore);
    beyond_.merge(other.beyond_, ignore);
}

}  // namespace qed
