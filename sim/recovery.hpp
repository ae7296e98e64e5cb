// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "sim/crash_states.hpp"
#include "sim/machine.hpp"
#include "sim/reference_disk.hpp"

namespace qed::sim {

/// Recovers the states that power cuts leave, and checks the promises of the engine for each
/// (docs/testing.md, "Writes: what is promised").
class Recovery {
public:
    struct Counts {
        std::uint64_t states = 0;       ///< recovered states, including second power cuts
        std::uint64_t second_cuts = 0;  ///< of these, after a power cut during recovery
        std::uint64_t dirty = 0;        ///< with NEED_CHECK set
        std::uint64_t with_leaks = 0;
        std::uint64_t points = 0;  ///< crash points
        std::uint64_t exhaustive_points = 0;
    };

    Recovery(const ImageSetup& setup, const ReferenceDisk& disk, const CrashLimits& limits,
             const CrashLimits& second_limits)
        : setup_(setup), disk_(disk), limits_(limits), second_limits_(second_limits) {}

    /// Recovers every state of `point`. Throws Failure.
    void explore(const CrashPoint& point, std::uint64_t seed);
    const Counts& counts() const noexcept { return counts_; }

private:
    struct Contents;

    void recover(const CrashState& state, bool is_second);
    /// Cuts the power a second time, at each moment that was recorded on `machine`.
    void cut_again(Machine& machine, const CrashState& state);
    void check_before(const CrashState& state);
    void check_read_only(const CrashState& state);
    Contents read_back(Machine& machine, const CrashState& state) const;
    void expect_same(Machine& machine, const Contents& contents, const char* when) const;
    std::vector<std::uint64_t> probe(Machine& machine);
    void check_after(Machine& machine, const Contents& contents,
                     const std::vector<std::uint64_t>& probes);

    const ImageSetup& setup_;
    const ReferenceDisk& disk_;
    CrashLimits limits_;
    CrashLimits second_limits_;
    std::unordered_set<std::uint64_t> recovered_;  // states whose recovery was cut, by hash
    Counts counts_;
};

}  // namespace qed::sim
