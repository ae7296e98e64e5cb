// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/zero_scan.hpp"

#include <algorithm>
#include <cstring>

namespace qed {

bool is_all_zero(std::span<const std::byte> bytes) noexcept {
    // If the first bytes are zero, and each byte equals the byte at that distance before it, all
    // are zero. memcmp() compares with the widest instructions of the machine.
    if (bytes.empty()) return true;
    constexpr std::size_t kHead = 16;
    const std::byte zeroes[kHead]{};
    const std::size_t head = std::min(bytes.size(), kHead);
    if (std::memcmp(bytes.data(), zeroes, head) != 0) return false;
    return std::memcmp(bytes.data() + head, bytes.data(), bytes.size() - head) == 0;
}

void split_zero_runs(std::span<const std::byte> bytes, std::size_t unit, std::size_t least,
                     std::vector<ZeroRun>& runs) {
    runs.clear();
    const auto append = [&runs](std::size_t begin, std::size_t length, bool zero) {
        if (!runs.empty() && runs.back().zero == zero) {
            runs.back().length += length;
        } else {
            runs.push_back({begin, length, zero});
        }
    };
    for (std::size_t at = 0; at < bytes.size(); at += unit) {
        const std::size_t length = std::min(unit, bytes.size() - at);
        append(at, length, is_all_zero(bytes.subspan(at, length)));
    }
    if (runs.size() == 1) return;
    for (ZeroRun& run : runs) {
        if (run.length < least) run.zero = false;
    }
    // Merges adjacent runs of one kind.
    const std::vector<ZeroRun> pieces = std::move(runs);
    runs.clear();
    for (const ZeroRun& run : pieces)
        append(run.begin, run.length, run.zero);
}

}  // namespace qed
