// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/entry_scan.hpp"

#include <algorithm>

#include "base/lanes.hpp"

namespace qed {

namespace {

// A block is summarized as a whole. Its size is fixed so that the compiler vectorizes the loop, and
// small so that one unusual entry sends few entries to the slow path.
constexpr std::size_t kBlock = 128;

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
    // Reclaiming leaks moves tables, for a moment also after the end of the file.
    constexpr std::uint64_t kRoom = kMaxTablesMovedAtOnce * kMaxTableClusters;
    Result<ClusterSet> used = ClusterSet::create(clusters + kRoom, memory_limit);
    if (!used) return pass(used);
    Result<ClusterSet> repeated = ClusterSet::create(clusters, memory_limit);
    if (!repeated) return pass(repeated);
    const std::uint64_t extender = repair_growth_clusters(limits.file_bytes, geometry);
    Result<ClusterSet> beyond = ClusterSet::create(clusters + extender, memory_limit);
    if (!beyond) return pass(beyond);
    return EntryScan(limits, geometry, std::move(*used), std::move(*repeated), std::move(*beyond));
}

void EntryScan::add(std::span<const std::uint64_t> entries, EntryEnds& ends) {
    while (entries.size() >= kBlock) {
        const auto block = entries.first(kBlock);
        const TableSummary found = survey(block.data());
        switch (found.kind) {
            case TableSummary::Kind::empty:
                break;
            case TableSummary::Kind::data:
                add_data(block, found.breaks, ends);
                break;
            case TableSummary::Kind::mixed:
                add_mixed(block, ends);
                break;
        }
        entries = entries.subspan(kBlock);
    }
    add_mixed(entries, ends);
}

EntryScan::TableSummary EntryScan::survey(const std::uint64_t* block) const {
    // Only sums, ands and ors, which every processor has for several 64-bit numbers at a time. The
    // sign bit shows a negative difference or a number of 2^63 or more.
    const std::uint64_t first = limits_.first_byte;
    const std::uint64_t last = first + limits_.inside_bytes - 1;
    const std::uint64_t l1_first = limits_.l1_begin;
    const std::uint64_t l1_last = l1_first + limits_.table_bytes - 1;
    const std::uint64_t step = limits_.cluster_mask + 1;
    Lanes64 any{};
    Lanes64 outside{};
    Lanes64 apart_from_l1 = ~Lanes64{};
    Lanes64 breaks{};
    auto before = load_lanes<Lanes64>(block);
    before[1] = before[0];
    before[0] -= step;  // the first entry of a block is counted with the previous block
    for (std::size_t i = 0; i < kBlock; i += 2) {
        const auto entry = load_lanes<Lanes64>(block + i);
        if (i != 0) before = load_lanes<Lanes64>(block + i - 1);
        any |= entry;
        outside |= (entry - first) | (last - entry);
        apart_from_l1 &= (entry - l1_first) | (l1_last - entry);
        const Lanes64 gap = (entry - before) ^ step;
        breaks += (gap | -gap) >> 63;  // 1 for each gap that is not 0
    }
    const std::uint64_t all_bits = any[0] | any[1];
    if (all_bits == 0) return {TableSummary::Kind::empty, 0};
    const bool is_data = (all_bits & limits_.cluster_mask) == 0 &&
                         ((all_bits | outside[0] | outside[1]) & kLaneSign) == 0 &&
                         (apart_from_l1[0] & apart_from_l1[1] & kLaneSign) != 0;
    return {is_data ? TableSummary::Kind::data : TableSummary::Kind::mixed, breaks[0] + breaks[1]};
}

void EntryScan::add_data(std::span<const std::uint64_t> block, std::uint64_t breaks,
                         EntryEnds& ends) {
    const auto note_repeated = [this](std::uint64_t cluster) {
        repeated_.insert(cluster);
        ++totals_.repeated;
    };
    const bool follows = ends.last == 0 || ends.last + limits_.cluster_mask + 1 == block.front();
    totals_.fragmented += breaks + (follows ? 0 : 1);
    totals_.data += kBlock;
    if (ends.first == 0) ends.first = block.front();
    ends.last = block.back();
    if (breaks == 0) {
        used_.insert_run(block.front() >> cluster_bits_, kBlock, note_repeated);
    } else {
        used_.insert_scattered(block.first<kBlock>(), cluster_bits_, note_repeated);
    }
}

void EntryScan::add_mixed(std::span<const std::uint64_t> entries, EntryEnds& ends) {
    const std::uint64_t step = limits_.cluster_mask + 1;
    for (const std::uint64_t entry : entries) {
        if (entry <= kRawZero) {
            totals_.zero += entry;
            continue;
        }
        if (!limits_.is_valid_cluster_offset(entry)) {
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
