// SPDX-License-Identifier: Apache-2.0
#include "sim/mutant_hunt.hpp"

#include <array>
#include <chrono>
#include <string_view>

#include <fmt/format.h>

#include "base/mutants.hpp"
#include "sim/crash_explorer.hpp"
#include "sim/nth_explorer.hpp"
#include "sim/seed_explorer.hpp"

namespace qed::sim {

namespace {

using detail::Mutant;

enum class Explorer : std::uint8_t { crash, nth, seeds, tables };
constexpr std::array kExplorerNames{"crash", "nth", "seeds", "seeds"};

/// The setups whose names start with `setup`, and one workload or all.
struct Place {
    Explorer explorer = Explorer::crash;
    const char* setup = "";
    const char* word = "";
};

struct Trap {
    const char* name;
    Place place;
};

constexpr const char* kOrdered = "4096x1-ordered-base-none-used";
constexpr const char* kStrict = "4096x1-strict-base-none-used";
constexpr const char* kDeferred = "4096x1-deferred-base-none-used";
constexpr const char* kOverlay = "4096x1-strict-base-long-used";

/// In the order of Mutant. The first entry is the engine without a mutant.
constexpr auto kTraps = std::to_array<Trap>({
    {"none", {}},
    {"publish_before_write", {Explorer::nth, kStrict, "acdehiob"}},
    {"keep_table_after_failed_write", {Explorer::nth, kStrict, "acdehiob"}},
    {"no_flush_after_need_check", {Explorer::crash, kOrdered, "a"}},
    {"need_check_never_set", {Explorer::crash, kOrdered, "a"}},
    {"clear_need_check_after_failed_flush", {Explorer::nth, kOrdered, "epqdoahr"}},
    {"clear_need_check_before_flush", {Explorer::crash, kOrdered, "dar"}},
    {"failed_flush_is_forgotten", {Explorer::nth, kStrict, "acdehiob"}},
    {"no_flush_before_entries", {Explorer::crash, kOverlay, "a"}},
    {"l1_before_l2", {Explorer::crash, "4096x1-strict-base-none-fresh", "a"}},
    {"commit_stale_load", {Explorer::tables}},
    {"allocate_named_past_eof", {Explorer::crash, kOrdered, "a"}},
    {"reuse_before_unlink_durable", {Explorer::crash, kOrdered, "ma"}},
    {"lost_head_fill", {Explorer::crash, kOverlay, "a"}},
    {"lost_tail_fill", {Explorer::crash, kOverlay, "a"}},
    {"zero_cluster_shows_backing", {Explorer::crash, kOverlay, "f"}},
    {"group_error_dropped", {Explorer::nth, kStrict, "acdehiob"}},
    {"no_second_lookup", {Explorer::seeds}},
    {"flush_does_nothing", {Explorer::crash, kStrict, "bo"}},
    {"fua_without_flush", {Explorer::crash, kStrict, "i"}},
    {"grow_shows_backing", {Explorer::crash, kOverlay, "q"}},
    {"shrink_keeps_entries", {Explorer::crash, kStrict, "pq"}},
    {"scan_misses_table", {Explorer::crash, kStrict, "a"}},
    {"named_cluster_found_free", {Explorer::crash, kStrict, "a"}},
    {"reuse_found_without_flush", {Explorer::crash, kStrict, "mva"}},
    {"cut_pending_tail", {Explorer::crash, kDeferred, "er"}},
    {"moved_data_not_flushed", {Explorer::crash, kStrict, "mz"}},
    {"moved_table_not_flushed", {Explorer::crash, kStrict, "hojmz"}},
    {"old_place_free_before_entry", {Explorer::seeds}},
    {"move_without_lookup", {Explorer::seeds}},
    {"move_without_gate", {Explorer::seeds}},
});
static_assert(kTraps.size() == static_cast<std::size_t>(Mutant::count_));

/// The setups without a base come first, because only they have the ordered order.
constexpr std::array kEverywhere{
    Place{Explorer::crash, "4096x1-ordered"},
    Place{Explorer::crash, "4096x1-strict"},
    Place{Explorer::nth, "4096x1-ordered"},
    Place{Explorer::nth, "4096x1-strict"},
    Place{Explorer::seeds},
    Place{Explorer::tables},
    Place{Explorer::crash},
    Place{Explorer::nth},
};

Tally look_for_crashes(const Place& place, const MutantOptions& options) {
    CrashOptions crash;
    crash.setup = place.setup;
    crash.word = place.word;
    crash.jobs = crash.word.empty() ? options.jobs : 1;
    crash.longest = 2;
    crash.seconds = options.seconds;
    crash.limits = {.exhaustive_bits = 8, .samples = 24};
    crash.most_failures = 1;
    return explore_crashes(crash);
}

Tally look_for_lost_errors(const Place& place, const MutantOptions& options) {
    NthOptions nth;
    nth.setup = place.setup;
    nth.word = place.word;
    nth.jobs = options.jobs;
    nth.seconds = options.seconds;
    nth.most_failures = 1;
    return explore_nth(nth);
}

Tally look_at_seeds(const Place& place, const MutantOptions& options) {
    SeedOptions seeds;
    seeds.chases_tables = place.explorer == Explorer::tables;
    seeds.jobs = options.jobs;
    seeds.seconds = options.seconds;
    seeds.repeat_every = 0;
    seeds.most_failures = 1;
    return explore_seeds(seeds);
}

/// The explorer and its finding, or nothing. Failures start with the name of the check.
struct Finding {
    std::string who;
    std::string what;
    bool is_none() const { return what.empty(); }
    std::string check() const { return what.substr(0, what.find(": ")); }
};

Finding look(const Place& place, const MutantOptions& options) {
    Tally found;
    switch (place.explorer) {
        case Explorer::crash:
            found = look_for_crashes(place, options);
            break;
        case Explorer::nth:
            found = look_for_lost_errors(place, options);
            break;
        case Explorer::seeds:
        case Explorer::tables:
            found = look_at_seeds(place, options);
            break;
    }
    if (found.failures.empty()) return {};
    return {.who = kExplorerNames.at(static_cast<std::size_t>(place.explorer)),
            .what = found.failures.front()};
}

Finding hunt(const Trap& trap, const MutantOptions& options) {
    Finding finding = look(trap.place, options);
    for (const Place& place : kEverywhere) {
        if (!finding.is_none()) break;
        finding = look(place, options);
    }
    return finding;
}

/// The finding without a planted bug; it must be empty.
Finding look_without_mutants(const MutantOptions& options) {
    MutantOptions brief = options;
    brief.seconds = std::min(options.seconds, 5.0);
    for (const Trap& trap : kTraps) {
        if (Finding finding = look(trap.place, brief); !finding.is_none()) return finding;
    }
    return {};
}

void judge(const Trap& trap, const Finding& finding, Tally& tally) {
    const bool is_sound_engine = &trap == kTraps.data();
    if (finding.is_none() == is_sound_engine) {
        ++tally.counts[is_sound_engine ? "sound engine, nothing found" : "mutants caught"];
    } else if (is_sound_engine) {
        tally.failures.push_back("without a mutant: " + finding.what);
    } else {
        tally.failures.push_back(fmt::format("{} was not caught", trap.name));
    }
}

}  // namespace

Tally hunt_mutants(const MutantOptions& options) {
    Tally tally;
    for (std::size_t number = 0; number < kTraps.size(); ++number) {
        const Trap& trap = kTraps[number];
        if (!options.only.empty() && options.only != trap.name) continue;
        detail::living_mutant = static_cast<Mutant>(number);
        const auto begun = std::chrono::steady_clock::now();
        const Finding finding = number == 0 ? look_without_mutants(options) : hunt(trap, options);
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
        detail::living_mutant = Mutant::none;
        fmt::print("{:36} {:5.1f} s  {:5}  {}\n", trap.name, spent.count(), finding.who,
                   finding.is_none() ? "nothing found" : finding.check());
        std::fflush(stdout);
        judge(trap, finding, tally);
    }
    return tally;
}

}  // namespace qed::sim
