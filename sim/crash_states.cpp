// SPDX-License-Identifier: Apache-2.0
#include "sim/crash_states.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <unordered_set>

namespace qed::sim {

namespace {

using SectorBytes = std::array<std::byte, kSectorBytes>;

std::span<const std::byte> content_of(const Change& change, std::uint64_t sector) {
    static constexpr SectorBytes kZeroes{};
    const std::uint64_t index = sector - change.offset / kSectorBytes;
    const auto data = change.sector_data(index);
    return data.empty() ? std::span<const std::byte>(kZeroes) : data;
}

/// Advances `picks` to the next combination. Returns false if there is none.
template <class Slots>
bool advance(std::vector<std::uint32_t>& picks, const Slots& slots) {
    for (std::size_t index = 0; index < picks.size(); ++index) {
        if (++picks[index] < slots[index].choices.size()) return true;
        picks[index] = 0;
    }
    return false;
}

}  // namespace

CrashStates::CrashStates(const CrashPoint& point, std::uint64_t seed) : point_(point), seed_(seed) {
    find_slots();
    changes_ = merge(sectors_);
    find_lengths(seed);
}

void CrashStates::find_slots() {
    std::map<std::uint64_t, std::vector<std::uint32_t>> by_sector;
    for (std::uint32_t index = 0; index < point_.pending.size(); ++index) {
        const Change& change = point_.pending[index];
        for (std::uint64_t sector = 0; sector < change.sectors(); ++sector) {
            if (change.is_settled(sector)) continue;
            by_sector[change.offset / kSectorBytes + sector].push_back(index);
        }
    }
    for (const auto& [sector, changes] : by_sector) {
        SectorBytes durable;
        point_.durable.read(sector * kSectorBytes, durable);
        std::vector<std::span<const std::byte>> contents{durable};
        Slot slot{.sectors = {sector}, .choices = {kDurable}};
        for (const std::uint32_t index : changes) {
            const auto content = content_of(point_.pending[index], sector);
            const bool is_known = std::ranges::any_of(
                contents, [&](const auto& known) { return std::ranges::equal(known, content); });
            if (is_known) continue;
            contents.push_back(content);
            slot.choices.push_back(index);
        }
        if (slot.choices.size() > 1) sectors_.push_back(std::move(slot));
    }
}

CrashStates::Slots CrashStates::merge(const Slots& slots) {
    Slots merged;
    for (const Slot& slot : slots) {
        const bool joins = !merged.empty() && merged.back().choices == slot.choices &&
                           merged.back().sectors.back() + 1 == slot.sectors.front();
        if (joins) {
            merged.back().sectors.push_back(slot.sectors.front());
        } else {
            merged.push_back(slot);
        }
    }
    return merged;
}

void CrashStates::find_lengths(std::uint64_t seed) {
    Random random(seed);
    std::set<std::pair<std::uint64_t, std::uint32_t>> seen;
    const auto add = [&](std::uint64_t bytes, std::uint32_t before, std::uint64_t issued) {
        if (seen.emplace(bytes, before).second) lengths_.push_back({bytes, before, issued});
    };
    add(point_.durable.size(), 0, 0);
    for (std::uint32_t index = 0; index < point_.pending.size(); ++index) {
        const Change& change = point_.pending[index];
        if (change.size_after == change.size_before) continue;
        const bool is_cut = change.size_after < change.size_before;
        const std::uint32_t before = change.kind == Change::Kind::resize ? index + 1 : index;
        if (!is_cut && change.size_after - change.size_before > kSectorBytes) {
            const std::uint64_t sectors = (change.size_after - change.size_before) / kSectorBytes;
            const std::uint64_t part = random.between(1, sectors) * kSectorBytes;
            add(std::min(change.size_before + part, change.size_after), before, change.issued);
        }
        add(change.size_after, before, change.issued);
    }
}

bool CrashStates::is_cut(std::uint32_t change, std::uint64_t at, const Length& length) const {
    for (std::uint32_t index = change + 1; index < length.resizes_before; ++index) {
        const Change& later = point_.pending[index];
        if (later.kind == Change::Kind::resize && later.offset <= at) return true;
    }
    return false;
}

CrashState CrashStates::build(const Slots& slots, const Picks& picks, const Length& length) const {
    CrashState state{.content = point_.durable,
                     .first = std::max(point_.since, length.issued),
                     .last = point_.moment};
    for (std::uint32_t index = 0; index < length.resizes_before; ++index) {
        const Change& change = point_.pending[index];
        if (change.kind == Change::Kind::resize) state.content.resize(change.offset);
    }
    state.content.resize(length.bytes);
    for (std::size_t index = 0; index < slots.size(); ++index) {
        const std::uint32_t choice = slots[index].choices[picks[index]];
        if (choice == kDurable) continue;
        const Change& change = point_.pending[choice];
        for (const std::uint64_t sector : slots[index].sectors) {
            const std::uint64_t at = sector * kSectorBytes;
            if (at >= length.bytes || is_cut(choice, at, length)) continue;
            const std::uint64_t bytes = std::min(kSectorBytes, length.bytes - at);
            state.content.write(at, content_of(change, sector).first(bytes));
            state.first = std::max(state.first, change.issued);
        }
    }
    return state;
}

std::uint64_t CrashStates::combinations(const Slots& slots, std::uint64_t limit) const {
    std::uint64_t product = lengths_.size();
    for (const Slot& slot : slots) {
        product *= slot.choices.size();
        if (product > limit) return limit + 1;
    }
    return product;
}

CrashStates::Picks CrashStates::pick_random(const Slots& slots, Random& random) const {
    // Mostly lost, half, or mostly kept: uniform choices alone would never give the extremes.
    const std::uint64_t of_8 = std::array<std::uint64_t, 4>{1, 4, 4, 7}[random.below(4)];
    Picks picks(slots.size());
    for (std::size_t index = 0; index < slots.size(); ++index) {
        if (!random.chance(of_8, 8)) continue;
        picks[index] =
            static_cast<std::uint32_t>(random.between(1, slots[index].choices.size() - 1));
    }
    return picks;
}

CrashState CrashStates::sample(Random& random) const {
    const Slots& slots = random.chance(1, 2) ? sectors_ : changes_;
    const Picks picks = pick_random(slots, random);
    // The last length keeps the most changes, so half of all samples use it.
    const std::uint64_t length =
        random.chance(1, 2) ? lengths_.size() - 1 : random.below(lengths_.size());
    return build(slots, picks, lengths_[length]);
}

CrashCoverage CrashStates::visit(const CrashLimits& limits,
                                 const std::function<void(const CrashState&)>& visitor) {
    CrashCoverage coverage;
    std::unordered_set<std::uint64_t> seen;
    const auto show = [&](const CrashState& state) {
        if (!seen.insert(state.content.hash() ^ mix(state.first)).second) return;
        ++coverage.states;
        visitor(state);
    };
    const std::uint64_t limit = std::uint64_t{1} << limits.exhaustive_bits;
    const bool all_sectors = combinations(sectors_, limit) <= limit;
    const Slots& slots = all_sectors ? sectors_ : changes_;
    coverage.is_exhaustive = all_sectors;
    if (all_sectors || combinations(changes_, limit) <= limit) {
        for (const Length& length : lengths_) {
            Picks picks(slots.size());
            do {
                show(build(slots, picks, length));
            } while (advance(picks, slots));
        }
    }
    if (all_sectors) return coverage;
    Random random(seed_);
    for (unsigned count = 0; count < limits.samples; ++count)
        show(sample(random));
    return coverage;
}

}  // namespace qed::sim
