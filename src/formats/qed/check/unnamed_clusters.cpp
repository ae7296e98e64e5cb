// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/unnamed_clusters.hpp"

#include <algorithm>

namespace qed {
namespace {

/// The storage's answers about data, which are kept as long as they hold.
class DataRanges {
public:
    DataRanges(BlockFile& file, std::uint64_t questions) : file_(file), questions_(questions) {}

    /// The first data at or after `at`; at the end of the address space where there is none.
    BlockFile::DataRange at_or_after(std::uint64_t at) {
        if (at < asked_at_ || at >= data_.end) ask(at);
        return {std::max(at, data_.begin), data_.end};
    }

private:
    void ask(std::uint64_t at) {
        constexpr std::uint64_t kEnd = std::uint64_t{1} << 63;
        asked_at_ = at;
        data_ = {at, kEnd};
        if (questions_ == 0) return;
        --questions_;
        const Result<BlockFile::DataRange> found = file_.next_data(at);
        if (found) data_ = *found;
        if (data_.begin >= data_.end) data_ = {kEnd, kEnd};
    }

    BlockFile& file_;
    std::uint64_t questions_;
    std::uint64_t asked_at_ = 1;  // data_ is valid at this offset and above
    BlockFile::DataRange data_{};
};

}  // namespace

void visit_unnamed(BlockFile& file, const ClusterSet& used, std::uint64_t clusters,
                   unsigned cluster_bits, std::uint64_t questions,
                   const std::function<void(const UnnamedRun&)>& visit) {
    DataRanges ranges(file, questions);
    const std::uint64_t mask = (std::uint64_t{1} << cluster_bits) - 1;
    std::uint64_t at = used.next_absent(0);
    while (at < clusters) {
        const std::uint64_t end = std::min(used.next_member(at), clusters);
        while (at < end) {
            const BlockFile::DataRange data = ranges.at_or_after(at << cluster_bits);
            const std::uint64_t data_begin = std::min(end, data.begin >> cluster_bits);
            const std::uint64_t data_end = std::min(end, (data.end + mask) >> cluster_bits);
            const bool is_hole = data_begin > at;
            const std::uint64_t part_end = is_hole ? data_begin : std::max(at + 1, data_end);
            visit({.first = at, .count = part_end - at, .is_hole = is_hole});
            at = part_end;
        }
        at = used.next_absent(at);
    }
}

}  // namespace qed
