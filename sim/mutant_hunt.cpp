// SPDX-License-Identifier: Apache-2.0
#include "sim/mutant_hunt.hpp"

#include <array>

#include <fmt/format.h>

#include "base/mutants.hpp"
#include "sim/crash_explorer.hpp"
#include "sim/nth_explorer.hpp"
#include "sim/seed_explorer.hpp"

namespace qed::sim {

namespace {

using detail::Mutant;

constexpr auto kNames = std::to_array<const char*>({"none",
                                                    "publish_before_write",
                                                    "keep_table_after_failed_write",
                                                    "no_flush_after_need_check",
                                                    "need_check_never_set",
                                                    "clear_need_check_after_failed_flush",
                                                    "clear_need_check_before_flush",
                                                    "failed_flush_is_forgotten",
                                                    "no_flush_before_entries",
                                                    "l1_before_l2",
                                                    "commit_stale_load",
                                                    "allocate_named_past_eof",
                                                    "reuse_before_unlink_durable",
                                                    "lost_head_fill",
                                                    "lost_tail_fill",
                                                    "zero_cluster_shows_backing",
                                                    "group_error_dropped",
                                                    "no_second_lookup",
                                                    "flush_does_nothing",
                                                    "fua_without_flush",
                                                    "grow_shows_backing",
                                                    "shrink_keeps_entries"});
static_assert(kNames.size() == static_cast<std::size_t>(Mutant::count_));

struct Hunter {
    const char* name;
    Tally (*hunt)(const MutantOptions&);
};

Tally hunt_by_crash(const MutantOptions& options) {
    CrashOptions crash;
    crash.jobs = options.jobs;
    crash.longest = 2;
    crash.seconds = options.seconds;
    crash.limits = {.exhaustive_bits = 8, .samples = 24};
    crash.most_failures = 1;
    return explore_crashes(crash);
}

Tally hunt_by_nth(const MutantOptions& options) {
    NthOptions nth;
    nth.jobs = options.jobs;
    nth.seconds = options.seconds;
    nth.most_failures = 1;
    return explore_nth(nth);
}

Tally hunt_by_seeds(const MutantOptions& options) {
    SeedOptions seeds;
    seeds.jobs = options.jobs;
    seeds.seconds = options.seconds;
    seeds.repeat_every = 0;
    seeds.most_failures = 1;
    return explore_seeds(seeds);
}

constexpr std::array kHunters{Hunter{"crash", hunt_by_crash}, Hunter{"nth", hunt_by_nth},
                              Hunter{"seeds", hunt_by_seeds}};

}  // namespace

Tally hunt_mutants(const MutantOptions& options) {
    Tally tally;
    for (std::size_t number = 0; number < kNames.size(); ++number) {
        if (!options.only.empty() && options.only != kNames[number]) continue;
        detail::living_mutant = static_cast<Mutant>(number);
        std::string finding;
        for (const Hunter& hunter : kHunters) {
            const Tally found = hunter.hunt(options);
            if (found.failures.empty()) continue;
            finding = fmt::format("{}: {}", hunter.name, found.failures.front());
            break;
        }
        detail::living_mutant = Mutant::none;
        fmt::print("{}\n    {}\n", kNames[number], finding.empty() ? "nothing found" : finding);
        std::fflush(stdout);
        const bool is_sound_engine = number == 0;
        if (finding.empty() == is_sound_engine) {
            ++tally.counts[is_sound_engine ? "sound engines that passed" : "mutants caught"];
        } else {
            tally.failures.push_back(is_sound_engine
                                         ? fmt::format("without a mutant: {}", finding)
                                         : fmt::format("{} was not caught", kNames[number]));
        }
    }
    return tally;
}

}  // namespace qed::sim
