// SPDX-License-Identifier: Apache-2.0
#include "engine/free_clusters.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include "base/assert.hpp"

namespace qed {

void FreeClusters::add(Run run) noexcept {
    if (run.count == 0 || run.first >= kMaxClusters) return;
    run.count = std::min(run.count, kMaxClusters - run.first);
    const std::uint64_t pages = ((run.first + run.count - 1) >> kPageBits) + 1;
    try {
        if (pages > pages_.size()) pages_.resize(pages);
    } catch (const std::bad_alloc&) {
        return;
    }
    lowest_ = empty() ? run.first : std::min(lowest_, run.first);
    static_cast<void>(change(run, true));
}

bool FreeClusters::contains(std::uint64_t cluster) const noexcept {
    return cluster < bound() && ((word_at(cluster) >> (cluster & 63)) & 1) != 0;
}

void FreeClusters::move_to(FreeClusters& other) noexcept {
    if (empty()) return;
    if (other.empty()) {
        std::swap(*this, other);
    } else {
        // Whole runs: none of them has to be split, which could need memory.
        for (Run run = take_first(kMaxClusters); run.count != 0; run = take_first(kMaxClusters))
            other.add(run);
    }
}

FreeClusters::Run FreeClusters::take_whole(std::uint64_t count) noexcept {
    const Run found = longest(count);
    return found.count == count ? taken(found) : Run{};
}

FreeClusters::Run FreeClusters::take_longest(std::uint64_t most) noexcept {
    return taken(longest(most));
}

FreeClusters::Run FreeClusters::take_first(std::uint64_t most) noexcept {
    if (empty()) return {};
    lowest_ = next_member(lowest_);
    return taken({lowest_, length_at(lowest_, most)});
}

std::uint64_t FreeClusters::first() noexcept {
    if (empty()) return kMaxClusters;
    lowest_ = next_member(lowest_);
    return lowest_;
}

std::uint64_t FreeClusters::first_from(std::uint64_t from) const noexcept {
    const std::uint64_t found = next_member(std::max(from, lowest_));
    return found >= bound() ? kMaxClusters : found;
}

FreeClusters::Run FreeClusters::take_below(std::uint64_t end, std::uint64_t most) noexcept {
    const std::uint64_t at = first();
    if (at >= end) return {};
    return taken({at, length_at(at, std::min(most, end - at))});
}

bool FreeClusters::remove(Run run) noexcept {
    if (run.first >= bound()) return true;
    return change({run.first, std::min(run.count, bound() - run.first)}, false);
}

std::uint64_t FreeClusters::take_before(std::uint64_t end) noexcept {
    std::uint64_t begin = end;
    while (begin > lowest_ && contains(begin - 1)) {
        const std::uint64_t last = begin - 1;
        const Page& page = pages_[last >> kPageBits];
        const std::uint64_t page_begin = last >> kPageBits << kPageBits;
        if (page.bits == nullptr) {  // all of it
            begin = page_begin;
            continue;
        }
        const std::uint64_t absent = ~word_at(last) << (63 - (last & 63));
        const auto members = static_cast<std::uint64_t>(std::countl_zero(absent));
        begin -= std::min(members, (last & 63) + 1);
    }
    if (begin == end) return end;
    return taken({begin, end - begin}).count == 0 ? end : begin;
}

std::uint64_t FreeClusters::word_at(std::uint64_t cluster) const noexcept {
    const Page& page = pages_[cluster >> kPageBits];
    if (page.bits == nullptr) return page.members == 0 ? 0 : ~std::uint64_t{0};
    return (*page.bits)[(cluster & (kPageClusters - 1)) >> 6];
}

std::uint64_t FreeClusters::next_member(std::uint64_t from) const noexcept {
    while (from < bound()) {
        if (pages_[from >> kPageBits].members == 0) {
            from = ((from >> kPageBits) + 1) << kPageBits;
            continue;
        }
        const std::uint64_t members = word_at(from) >> (from & 63);
        if (members != 0) return from + static_cast<std::uint64_t>(std::countr_zero(members));
        from = (from | 63) + 1;
    }
    return bound();
}

std::uint64_t FreeClusters::length_at(std::uint64_t from, std::uint64_t most) const noexcept {
    std::uint64_t end = from;
    while (end < bound() && end - from < most) {
        const Page& page = pages_[end >> kPageBits];
        if (page.bits == nullptr) {
            if (page.members == 0) break;
            end = ((end >> kPageBits) + 1) << kPageBits;
            continue;
        }
        const auto in_word = 64 - (end & 63);
        const auto members =
            static_cast<std::uint64_t>(std::countr_one(word_at(end) >> (end & 63)));
        end += std::min(members, in_word);
        if (members < in_word) break;
    }
    return std::min(end - from, most);
}

FreeClusters::Run FreeClusters::longest(std::uint64_t most) noexcept {
    if (empty()) return {};
    lowest_ = next_member(lowest_);
    Run best;
    std::uint64_t at = lowest_;
    for (unsigned looked = 0; looked < kLookedAt && at < bound(); ++looked) {
        const std::uint64_t length = length_at(at, most);
        if (length > best.count) best = {at, length};
        if (best.count == most) break;
        at = next_member(at + length);
    }
    return best;
}

FreeClusters::Run FreeClusters::taken(Run run) noexcept {
    if (run.count == 0 || !change(run, false)) return {};
    if (run.first == lowest_) lowest_ += run.count;
    return run;
}

bool FreeClusters::change(Run run, bool adds) noexcept {
    const std::uint64_t end = run.first + run.count;
    QED_ASSERT(end <= bound());
    for (std::uint64_t at = run.first; at < end;) {
        const std::uint64_t page_begin = at >> kPageBits << kPageBits;
        const std::uint64_t page_end = std::min(end, page_begin + kPageClusters);
        Page& page = pages_[at >> kPageBits];
        const std::uint64_t before = page.members;
        const bool done = change_in_page(page, at - page_begin, page_end - page_begin, adds);
        members_ += page.members - before;
        if (!done) return false;
        at = page_end;
    }
    return true;
}

bool FreeClusters::change_in_page(Page& page, std::uint64_t first, std::uint64_t end,
                                  bool adds) noexcept {
    const std::uint64_t uniform = adds ? kPageClusters : 0;
    if (page.members == uniform) return true;
    if (end - first == kPageClusters) {
        page.bits.reset();
        page.members = uniform;
        return true;
    }
    if (page.bits == nullptr && !give_bits(page)) return false;
    while (first < end) {
        const std::uint64_t in_word = std::min(end - first, 64 - (first & 63));
        const std::uint64_t mask = (~std::uint64_t{0} >> (64 - in_word)) << (first & 63);
        std::uint64_t& word = (*page.bits)[first >> 6];
        const std::uint64_t changed = (adds ? ~word : word) & mask;
        word ^= changed;
        const auto count = static_cast<std::uint64_t>(std::popcount(changed));
        page.members = adds ? page.members + count : page.members - count;
        first += in_word;
    }
    if (page.members == uniform) page.bits.reset();
    return true;
}

bool FreeClusters::give_bits(Page& page) noexcept {
    page.bits.reset(new (std::nothrow) Bits);
    if (page.bits == nullptr) return false;
    page.bits->fill(page.members == 0 ? 0 : ~std::uint64_t{0});
    return true;
}

}  // namespace qed
