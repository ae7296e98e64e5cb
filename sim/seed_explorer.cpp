// SPDX-License-Identifier: Apache-2.0
#include "sim/seed_explorer.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "sim/qed_parser.hpp"
#include "sim/random_guest.hpp"
#include "sim/session.hpp"

namespace qed::sim {

namespace {

constexpr std::uint64_t kEventLimit = 3'000'000;

/// The machine of one seed, through all its power cuts and kills.
class Scenario {
public:
    Scenario(std::uint64_t seed, bool narrates, bool chases_tables)
        : random_(mix(seed) ^ 0x51),
          chases_tables_(chases_tables || random_.chance(1, 4)),
          world_(seed),
          setup_(random_setup(random_, chases_tables_)),
          machine_(world_, setup_, FileContent{}, false),
          disk_(world_, setup_.image_bytes, setup_.base),
          session_(machine_, disk_),
          guest_(setup_, random_, chases_tables_) {
        disk_.forget_the_past();
        if (narrates) world_.narrate();
    }

    SeedOutcome outcome();

private:
    void run();
    void inject();
    void end_quietly();
    void recover();
    Task<Result<void>> use(unsigned number);
    void throw_if_stuck();

    Random random_;
    bool chases_tables_;
    World world_;
    ImageSetup setup_;
    Machine machine_;
    ReferenceDisk disk_;
    Session session_;
    RandomGuest guest_;
    std::vector<Operation> doing_;
    std::uint64_t left_ = 0;
    bool is_resizing_ = false;
    std::uint64_t trims_of_64_ = 0;  // probability, in 1/64, that a request empties the cache
    SeedOutcome outcome_;
};

/// Chooses the faults until the next power cut or kill.
void Scenario::inject() {
    FaultPlan& faults = machine_.faults();
    faults = {};
    const std::uint64_t dice = random_.below(10);
    if (dice < 3) {
        const auto share = static_cast<std::uint32_t>(random_.between(50, 1500));
        faults.chance.fill(share);
        if (random_.chance(1, 2)) faults.chance[static_cast<unsigned>(IoKind::flush)] = 0;
        faults.error = random_.chance(2, 3) ? EIO : ENOSPC;
    } else if (dice == 3) {
        faults.fail_at = random_.between(1, 400);
        faults.is_sticky = random_.chance(1, 2);
        faults.kinds = io_bit(IoKind::write) | io_bit(IoKind::truncate) | io_bit(IoKind::flush);
    } else if (dice == 4) {
        faults.space_limit = machine_.storage().size() + random_.below(40) * setup_.cluster_bytes;
    }
    if (random_.chance(1, 2)) machine_.cut_power_at(random_.between(1, 900));
}

Task<Result<void>> Scenario::use(unsigned number) {
    while (left_ > 0 && machine_.has_power()) {
        --left_;
        if (random_.chance(trims_of_64_, 64)) machine_.trim_cache();
        const Operation operation = guest_.next(disk_.size(), !is_resizing_);
        doing_[number] = operation;
        if (operation.step == Step::resize) is_resizing_ = true;
        const Result<void> done = co_await session_.request(operation);
        if (operation.step == Step::resize) is_resizing_ = false;
        world_.trace(number, operation.offset, done ? 0 : 1);
    }
    co_return Result<void>{};
}

void Scenario::throw_if_stuck() {
    session_.judge();
    if (world_.is_idle()) return;
    std::string tasks;
    for (const std::string& task : world_.unfinished())
        tasks += fmt::format("\n    {}", task);
    throw Failure("progress", fmt::format("these never end:{}", tasks));
}

void Scenario::run() {
    ++outcome_.lives;
    inject();
    trims_of_64_ = chases_tables_         ? random_.between(8, 48)
                   : random_.chance(1, 2) ? random_.between(1, 16)
                                          : 0;
    left_ = random_.between(40, 500);
    const auto guests = static_cast<unsigned>(random_.between(1, 32));
    outcome_.most_at_once = std::max<std::uint64_t>(outcome_.most_at_once, guests);
    doing_.assign(guests, {});
    for (unsigned number = 0; number < guests; ++number) {
        world_.spawn(use(number), [this, number] {
            return fmt::format("guest {}: {}", number, to_string(doing_[number]));
        });
    }
    if (!world_.run(kEventLimit)) throw Failure("progress", "requests go on for ever");
    throw_if_stuck();
}

/// The guests are done and the power is on: all their data must be readable, and must be readable
/// again after the image was closed or the process was killed.
void Scenario::end_quietly() {
    machine_.keep_power();
    FaultPlan& faults = machine_.faults();
    faults.lift();
    outcome_.injected += faults.injected;
    const bool had_faults = faults.injected != 0;
    const bool lost_a_flush = faults.failed_flushes != 0;
    faults = {};
    outcome_.evictions += machine_.image()->stats().cache.evictions;
    session_.verify_reads();
    session_.verify_file("after the requests");
    session_.verify_tables();
    if (!had_faults && random_.chance(1, 2)) {
        session_.run({.step = Step::shrink});
        session_.verify_reads();
    }
    if (lost_a_flush || random_.chance(1, 3)) {
        machine_.cut_power();
        return;
    }
    if (random_.chance(1, 3)) {
        ++outcome_.kills;
        session_.run({.step = Step::kill});
        return;
    }
    const std::uint64_t begun = world_.tick();
    const auto closed = machine_.close();
    if (!closed && !had_faults) throw Failure("the image closes", closed.error().message());
    if (closed) disk_.end_flush(begun);
    session_.verify_file("after closing");
    if (closed && !had_faults) session_.verify_space();
    session_.open();
    if (!closed && setup_.order == WriteOrder::deferred) {
        session_.accept_after_cut(begun, begun, false);
    }
}

void Scenario::recover() {
    ++outcome_.power_cuts;
    outcome_.injected += machine_.faults().injected;
    machine_.faults() = {};
    const std::uint64_t moment = machine_.restore_power(random_);
    session_.verify_file("right after the power cut");
    // The power may be cut again during the repair.
    for (unsigned again = 0; again < 3 && random_.chance(1, 4); ++again) {
        machine_.cut_power_at(random_.between(1, 12));
        session_.open();
        machine_.keep_power();
        if (machine_.has_power()) machine_.cut_power();
        machine_.restore_power(random_);
        ++outcome_.power_cuts;
    }
    session_.open();
    session_.verify_file("after recovery");
    session_.accept_after_cut(moment, moment, true);
}

SeedOutcome Scenario::outcome() {
    if (const auto made = machine_.format(); !made) {
        throw Failure("an image can be made", made.error().message());
    }
    session_.open();
    session_.run({.step = Step::flush});
    for (std::uint64_t lives = random_.between(1, 5); lives > 0; --lives) {
        run();
        if (machine_.has_power()) end_quietly();
        if (!machine_.has_power()) recover();
        session_.verify_reads();
    }
    session_.run({.step = Step::repair});
    session_.verify_reads();
    world_.trace(machine_.storage().current().hash());
    outcome_.trace = world_.trace_hash();
    outcome_.events = world_.events();
    outcome_.requests = session_.requests();
    outcome_.failed_requests = session_.failed_requests();
    return outcome_;
}

void count(Tally& tally, const SeedOutcome& outcome) {
    ++tally.counts["seeds"];
    tally.counts["guest requests"] += outcome.requests;
    tally.counts["requests that failed, as they had to"] += outcome.failed_requests;
    tally.counts["events"] += outcome.events;
    tally.counts["lives"] += outcome.lives;
    tally.counts["power cuts"] += outcome.power_cuts;
    tally.counts["processes killed"] += outcome.kills;
    tally.counts["I/Os failed"] += outcome.injected;
    tally.counts["evictions"] += outcome.evictions;
}

void run_and_compare(std::uint64_t seed, bool runs_twice, const SeedOptions& options,
                     Tally& tally) {
    const SeedOutcome outcome = run_seed(seed, options.narrates, options.chases_tables);
    count(tally, outcome);
    if (!runs_twice) return;
    ++tally.counts["seeds that ran twice"];
    const SeedOutcome again = run_seed(seed, false, options.chases_tables);
    if (again.trace != outcome.trace) {
        throw Failure("same seed, same trace",
                      fmt::format("{:016x} and {:016x}", outcome.trace, again.trace));
    }
}

}  // namespace

SeedOutcome run_seed(std::uint64_t seed, bool narrates, bool chases_tables) {
    auto scenario = std::make_unique<Scenario>(seed, narrates, chases_tables);
    try {
        return scenario->outcome();
    } catch (const Failure&) {
        // Requests may be stuck, so the image that they use is not destroyed.
        [[maybe_unused]] auto* const kept = scenario.release();
        throw;
    }
}

Tally explore_seeds(const SeedOptions& options) {
    const auto begun = std::chrono::steady_clock::now();
    return run_parallel(options.jobs, [&](unsigned number, Tally& tally, Position& position) {
        const auto is_over = [&](std::uint64_t index) {
            const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
            const bool has_enough =
                options.requests > 0 &&
                tally.counts["guest requests"] * options.jobs >= options.requests;
            return (options.seeds > 0 && index >= options.seeds) || has_enough ||
                   (options.seconds > 0 && spent.count() >= options.seconds) ||
                   tally.failures.size() >= options.most_failures;
        };
        for (std::uint64_t index = number; !is_over(index); index += options.jobs) {
            const std::uint64_t seed = options.first_seed + index;
            const std::string command = fmt::format("qed-sim seeds{} --seed {} --count 1",
                                                    options.chases_tables ? " --tables" : "", seed);
            position.set(command);
            try {
                const bool runs_twice =
                    options.repeat_every != 0 && index / options.jobs % options.repeat_every == 0;
                run_and_compare(seed, runs_twice, options, tally);
            } catch (const Failure& failure) {
                tally.failures.push_back(fmt::format("{}\n  {}", failure.what(), command));
            }
        }
    });
}

}  // namespace qed::sim
