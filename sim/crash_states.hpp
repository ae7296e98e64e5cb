// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/random.hpp"
#include "sim/storage.hpp"

namespace qed::sim {

/// One content that the disk may have when the power returns.
struct CrashState {
    FileContent content;
    std::uint64_t first = 0;  ///< the earliest moment of a power cut that leaves this state
    std::uint64_t last = 0;   ///< the latest such moment
};

struct CrashLimits {
    unsigned exhaustive_bits = 14;  ///< try all states of a crash point with at most 2^n states
    unsigned samples = 200;         ///< random states of a crash point with more
};

/// How far a crash point was explored.
struct CrashCoverage {
    std::uint64_t states = 0;  ///< distinct states
    bool is_exhaustive = false;
};

/// The states in which a power cut may leave a file. Each sector that changed since it was last
/// durable holds its durable content or any later content, independently of all other sectors. The
/// file has any length that it had since then.
class CrashStates {
public:
    CrashStates(const CrashPoint& point, std::uint64_t seed);

    CrashCoverage visit(const CrashLimits& limits,
                        const std::function<void(const CrashState&)>& visitor);
    /// One state, chosen by `random`.
    CrashState sample(Random& random) const;

private:
    static constexpr std::uint32_t kDurable = ~std::uint32_t{0};

    /// Sectors that change together, and their possible contents as indices of pending changes.
    struct Slot {
        std::vector<std::uint64_t> sectors;
        std::vector<std::uint32_t> choices;  ///< first kDurable
    };
    struct Length {
        std::uint64_t bytes = 0;
        std::uint32_t resizes_before = 0;  ///< pending changes below this index took effect
        std::uint64_t issued = 0;
    };
    using Slots = std::vector<Slot>;
    using Picks = std::vector<std::uint32_t>;

    void find_slots();
    void find_lengths(std::uint64_t seed);
    static Slots merge(const Slots& slots);
    std::uint64_t combinations(const Slots& slots, std::uint64_t limit) const;
    CrashState build(const Slots& slots, const Picks& picks, const Length& length) const;
    Picks pick_random(const Slots& slots, Random& random) const;
    /// Whether a resize that took effect cuts off the sector of `change` at offset `at`.
    bool is_cut(std::uint32_t change, std::uint64_t at, const Length& length) const;

    const CrashPoint& point_;
    Slots sectors_;  ///< each sector on its own
    Slots changes_;  ///< sectors with the same changes, together
    std::vector<Length> lengths_;
    std::uint64_t seed_;
};

}  // namespace qed::sim
