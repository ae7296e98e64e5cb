// SPDX-License-Identifier: Apache-2.0
#include "sim/crash_explorer.hpp"

#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "sim/crash_workloads.hpp"
#include "sim/recovery.hpp"
#include "sim/session.hpp"

namespace qed::sim {

namespace {

constexpr std::uint64_t kEventLimit = 1'000'000;

/// A finished workload, with all moments at which a power cut may have happened.
struct Run {
    std::vector<CrashPoint> points;
    std::uint64_t last_begun = 0;  ///< cuts before this moment belong to shorter workloads
};

/// Clips `operation` to a disk of `bytes`. Returns false if nothing of it is left.
bool clip(Operation& operation, std::uint64_t bytes) {
    if (!has_range(operation.step)) return true;
    if (operation.offset >= bytes) return false;
    operation.length = std::min(operation.length, bytes - operation.offset);
    return true;
}

/// A workload while it runs.
struct Stage {
    Stage(const NamedSetup& named, const PreparedImage& image, std::uint64_t seed, bool is_inline,
          bool narrates)
        : world(seed, image.world.moment()),
          disk(image.disk, world),
          machine(world, named.setup, image.content, is_inline),
          session(machine, disk) {
        machine.storage().record_crash_points();
        if (narrates) world.narrate();
        if (const auto opened = machine.open(); !opened) {
            throw Failure("the image opens", opened.error().message());
        }
    }

    World world;
    ReferenceDisk disk;
    Machine machine;
    Session session;
};

void run_serially(Stage& stage, const std::vector<Operation>& operations, Run& run) {
    for (Operation operation : operations) {
        run.last_begun = stage.world.tick();
        if (clip(operation, stage.disk.size())) stage.session.run(operation);
    }
}

void run_at_once(Stage& stage, const std::vector<Operation>& operations, Run& run) {
    run.last_begun = stage.world.tick();
    for (Operation operation : operations) {
        if (!clip(operation, stage.disk.size())) continue;
        stage.world.spawn(stage.session.request(operation),
                          [operation] { return to_string(operation); });
    }
    if (!stage.world.run(kEventLimit)) throw Failure("progress", "requests go on for ever");
    stage.session.judge();
    if (!stage.world.is_idle()) {
        throw Failure("progress", fmt::format("never ends: {}", stage.world.unfinished().front()));
    }
}

class Worker {
public:
    Worker(const CrashOptions& options, const NamedSetup& named, Tally& tally)
        : options_(options),
          named_(named),
          alphabet_(crash_alphabet(named.setup)),
          tally_(tally),
          image_(named) {}

    /// \param at_once_seed  0: sequential operations
    void explore(const std::string& word, std::uint64_t at_once_seed);

private:
    void run(Stage& stage, const std::string& word, bool is_at_once);
    void count(const Recovery::Counts& counts);

    const CrashOptions& options_;
    const NamedSetup& named_;
    std::vector<Symbol> alphabet_;
    Tally& tally_;
    PreparedImage image_;
};

void Worker::run(Stage& stage, const std::string& word, bool is_at_once) {
    Run run;
    const auto operations = spell(alphabet_, word);
    if (is_at_once) {
        run_at_once(stage, operations, run);
    } else {
        run_serially(stage, operations, run);
    }
    run.points = stage.machine.storage().take_crash_points();
    run.points.push_back(stage.machine.storage().crash_point(stage.world.tick()));
    stage.session.verify_reads();
    stage.session.verify_file("after the workload");
    stage.session.verify_tables();

    Recovery recovery(named_.setup, stage.disk, options_.limits, options_.second_limits);
    try {
        for (const CrashPoint& point : run.points) {
            if (point.moment < run.last_begun) continue;
            recovery.explore(point, mix(options_.seed ^ point.moment));
        }
    } catch (const Failure&) {
        count(recovery.counts());
        throw;
    }
    count(recovery.counts());
}

void Worker::count(const Recovery::Counts& counts) {
    tally_.counts["states"] += counts.states;
    tally_.counts["states after a second cut"] += counts.second_cuts;
    tally_.counts["states that say NEED_CHECK"] += counts.dirty;
    tally_.counts["states with leaks"] += counts.with_leaks;
    tally_.counts["crash points"] += counts.points;
    tally_.counts["crash points with every subset"] += counts.exhaustive_points;
    ++tally_.counts["workloads"];
}

void Worker::explore(const std::string& word, std::uint64_t at_once_seed) {
    std::unique_ptr<Stage> stage;
    try {
        stage = std::make_unique<Stage>(named_, image_, mix(options_.seed ^ at_once_seed),
                                        at_once_seed == 0, options_.narrates);
        run(*stage, word, at_once_seed != 0);
    } catch (const Failure& failure) {
        // Requests may be stuck, so the image that they use is not destroyed.
        [[maybe_unused]] auto* const kept = stage.release();
        const std::string order =
            at_once_seed == 0 ? "" : fmt::format(" --at-once-seed {}", at_once_seed);
        tally_.failures.push_back(fmt::format("{}\n  qed-sim crash --setup {} --word {}{}",
                                              failure.what(), named_.name, word, order));
    }
}

std::vector<std::string> words_of(const ImageSetup& setup, unsigned length) {
    std::vector<std::string> words{""};
    for (unsigned count = 0; count < length; ++count) {
        std::vector<std::string> longer;
        for (const std::string& word : words) {
            for (const Symbol& symbol : crash_alphabet(setup)) {
                const bool does_nothing =
                    symbol.operation.step >= Step::rename_backing && !setup.has_base;
                if (!does_nothing) longer.push_back(word + symbol.name);
            }
        }
        words = std::move(longer);
    }
    return words;
}

bool can_run_at_once(const ImageSetup& setup, const std::string& word) {
    const auto operations = spell(crash_alphabet(setup), word);
    return operations.size() > 1 &&
           std::ranges::none_of(operations, [](const Operation& operation) {
               // The model must know the old content of a sector that is written in part.
               const bool is_whole = (operation.offset | operation.length) % kSectorBytes == 0;
               return needs_quiet(operation.step) || operation.step == Step::resize || !is_whole;
           });
}

/// One workload on one of the setups.
struct Job {
    std::size_t setup = 0;
    std::string word;
};

class Explorer {
public:
    explicit Explorer(const CrashOptions& options) : options_(options) {
        for (NamedSetup& named : crash_setups()) {
            if (named.name.starts_with(options_.setup)) setups_.push_back(std::move(named));
        }
    }

    void work(unsigned number, Tally& tally, Position& position) {
        const auto begun = std::chrono::steady_clock::now();
        const auto is_over = [&] {
            const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
            return (options_.seconds > 0 && spent.count() > options_.seconds) ||
                   (options_.states > 0 && tally.counts["states"] >= options_.states) ||
                   tally.failures.size() >= options_.most_failures;
        };
        const std::vector<Job> jobs = all_jobs();
        if (number == 0) tally.counts["workloads there are"] = jobs.size();
        std::vector<std::unique_ptr<Worker>> workers(setups_.size());
        for (std::size_t turn = number; turn < jobs.size() && !is_over(); turn += options_.jobs) {
            const Job& job = jobs[turn];
            const NamedSetup& named = setups_[job.setup];
            std::unique_ptr<Worker>& worker = workers[job.setup];
            position.set(named.name);
            if (worker == nullptr) worker = std::make_unique<Worker>(options_, named, tally);
            run(*worker, named, job.word, position);
        }
    }

private:
    /// Short words come first, words of one length in random order, so that a run that ends early
    /// has covered all kinds.
    std::vector<Job> all_jobs() const {
        std::vector<Job> jobs;
        Random random(options_.seed);
        for (unsigned length = 1; length <= options_.longest; ++length) {
            const std::size_t first = jobs.size();
            for (std::size_t setup = 0; setup < setups_.size(); ++setup) {
                // Three operations on a fresh image are nearly the same as two on a used image.
                if (!options_.word.empty() || (length > 2 && !setups_[setup].is_used)) continue;
                for (std::string& word : words_of(setups_[setup].setup, length))
                    jobs.push_back({setup, std::move(word)});
            }
            for (std::size_t left = jobs.size(); left > first + 1; --left)
                std::swap(jobs[left - 1], jobs[first + random.below(left - first)]);
        }
        for (std::size_t setup = 0; setup < setups_.size() && !options_.word.empty(); ++setup)
            jobs.push_back({setup, options_.word});
        return jobs;
    }

    void run(Worker& worker, const NamedSetup& named, const std::string& word, Position& position) {
        const std::string command =
            fmt::format("qed-sim crash --setup {} --word {}", named.name, word);
        const bool is_replay = !options_.word.empty();
        if (!is_replay || options_.at_once_seed == 0) {
            position.set(command);
            worker.explore(word, 0);
        }
        if (!can_run_at_once(named.setup, word)) return;
        const std::uint64_t first = is_replay ? options_.at_once_seed : 1;
        const std::uint64_t last = is_replay ? options_.at_once_seed : options_.at_once;
        for (std::uint64_t seed = first; seed <= last && seed != 0; ++seed) {
            position.set(fmt::format("{} --at-once-seed {}", command, seed));
            worker.explore(word, seed);
        }
    }

    const CrashOptions& options_;
    std::vector<NamedSetup> setups_;
};

}  // namespace

Tally explore_crashes(const CrashOptions& options) {
    return run_parallel(options.jobs, [&](unsigned number, Tally& tally, Position& position) {
        try {
            Explorer(options).work(number, tally, position);
        } catch (const Failure& failure) {
            tally.failures.emplace_back(failure.what());
        }
    });
}

}  // namespace qed::sim
