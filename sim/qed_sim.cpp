// SPDX-License-Identifier: Apache-2.0
// qed-sim: simulates storage and scheduling to find lost data. See docs/testing.md.
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/crash_explorer.hpp"
#include "sim/crash_workloads.hpp"
#include "sim/failure.hpp"
#include "sim/nth_explorer.hpp"
#include "sim/seed_explorer.hpp"
#if defined(QED_MUTANTS) && QED_MUTANTS
#include "sim/mutant_hunt.hpp"
#endif

namespace {

using namespace qed::sim;

struct Report {
    std::string name;
    Tally tally;
    double seconds = 0;
};

template <class Work>
Report measure(std::string_view name, const Work& work) {
    const auto begun = std::chrono::steady_clock::now();
    Report report{.name = std::string(name), .tally = work(), .seconds = 0};
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
    report.seconds = spent.count();
    return report;
}

void print_text(const Report& report) {
    fmt::print("{}: {:.1f} s\n", report.name, report.seconds);
    for (const auto& [name, count] : report.tally.counts)
        fmt::print("  {:>12}  {}\n", count, name);
    for (const std::string& failure : report.tally.failures)
        fmt::print("FAILED {}\n", failure);
    if (report.tally.failures.empty()) fmt::print("  no promise was found broken\n");
}

void print_json(const Report& report) {
    const nlohmann::json json{{"explorer", report.name},
                              {"seconds", report.seconds},
                              {"counts", report.tally.counts},
                              {"failures", report.tally.failures}};
    fmt::print("{}\n", json.dump(2));
}

void list_workloads() {
    fmt::print("operations:\n");
    const auto setups = crash_setups();
    for (const Symbol& symbol : crash_alphabet(setups.front().setup)) {
        fmt::print("  {}  {:28} ({})\n", symbol.name, symbol.meaning, to_string(symbol.operation));
    }
    fmt::print("setups:\n");
    for (const NamedSetup& named : setups)
        fmt::print("  {}\n", named.name);
}

class Program {
public:
    Program() : app_("Looks for ways in which libqed loses data, in simulation.", "qed-sim") {
        app_.require_subcommand(1);
        app_.footer("Exit status: 0 no promise was found broken, 1 one was, 2 wrong usage.");
        add_crash();
        add_seeds();
        add_nth();
        add_list();
        add_mutants();
    }

    int run(int count, char** arguments) {
        try {
            app_.parse(count, arguments);
        } catch (const CLI::ParseError& error) {
            return app_.exit(error) == 0 ? 0 : 2;
        } catch (const Failure& failure) {
            fmt::print(stderr, "qed-sim: {}\n", failure.what());
            return 2;
        }
        return has_failed_ ? 1 : 0;
    }

private:
    void show(const Report& report) {
        has_failed_ = !report.tally.failures.empty();
        if (is_json_) {
            print_json(report);
        } else {
            print_text(report);
        }
    }

    CLI::App* add(const char* name, const char* what) {
        CLI::App* sub = app_.add_subcommand(name, what);
        sub->add_flag("--json", is_json_, "print the figures as JSON");
        return sub;
    }

    void add_crash() {
        CLI::App* sub = add("crash", "cut the power at every moment of short workloads");
        sub->add_option("--seed", crash_.seed, "for samples and random orders");
        sub->add_option("--jobs", crash_.jobs, "processes")->check(CLI::Range(1, 256));
        sub->add_option("--time", crash_.seconds, "stop after so many seconds");
        sub->add_option("--states", crash_.states, "stop each process after so many states");
        sub->add_option("--longest", crash_.longest, "operations in a workload")
            ->check(CLI::Range(1, 4));
        sub->add_option("--bits", crash_.limits.exhaustive_bits,
                        "try all subsets up to 2^N states of a crash point")
            ->check(CLI::Range(0, 24));
        sub->add_option("--samples", crash_.limits.samples, "random states above that");
        sub->add_option("--at-once", crash_.at_once,
                        "random orders in which each workload also runs all at once");
        sub->add_option("--setup", crash_.setup, "only this setup (see list)");
        sub->add_option("--word", crash_.word, "only this workload (see list)");
        sub->add_option("--at-once-seed", crash_.at_once_seed, "only this order, at once");
        sub->add_flag("--narrate", crash_.narrates, "print everything that happens");
        sub->callback([this] {
            if (!crash_.word.empty()) crash_.jobs = 1;
            show(measure("crash", [this] { return explore_crashes(crash_); }));
        });
    }

    void add_seeds() {
        CLI::App* sub = add("seeds", "random guests, faults and power cuts");
        sub->add_option("--seed", seeds_.first_seed, "the first one");
        sub->add_option("--count", seeds_.seeds, "how many seeds");
        sub->add_option("--requests", seeds_.requests, "stop after so many guest requests");
        sub->add_option("--jobs", seeds_.jobs, "processes")->check(CLI::Range(1, 256));
        sub->add_option("--time", seeds_.seconds, "stop after so many seconds");
        sub->add_option("--repeat-every", seeds_.repeat_every,
                        "run every N-th seed twice and compare the traces; 0: none");
        sub->add_flag("--tables", seeds_.chases_tables,
                      "only guests that load and change tables all the time");
        sub->add_flag("--narrate", seeds_.narrates, "print everything that happens");
        sub->callback([this] {
            if (seeds_.seeds == 0 && seeds_.requests == 0 && seeds_.seconds <= 0) {
                seeds_.requests = 1'000'000;
            }
            if (seeds_.seeds == 1) seeds_.jobs = 1;
            show(measure("seeds", [this] { return explore_seeds(seeds_); }));
        });
    }

    void add_nth() {
        CLI::App* sub = add("nth", "fail the Nth I/O of scripted workloads, for every N");
        sub->add_option("--jobs", nth_.jobs, "processes")->check(CLI::Range(1, 256));
        sub->add_option("--time", nth_.seconds, "stop each process after so many seconds");
        sub->add_option("--at-once", nth_.at_once_seeds,
                        "random orders in which each script also runs all at once");
        sub->add_option("--cuts", nth_.cuts,
                        "also cut the power at so many flushes that follow the fault");
        sub->add_option("--setup", nth_.setup, "only this setup (see list)");
        sub->add_option("--word", nth_.word, "only this script");
        sub->add_option("--fault", nth_.fault, "only this kind of fault");
        sub->add_option("--nth", nth_.nth, "only this I/O");
        sub->add_option("--at-once-seed", nth_.at_once_seed, "with --nth: in this order, at once");
        sub->add_flag("--narrate", nth_.narrates, "print everything that happens");
        sub->callback([this] {
            if (nth_.nth != 0) nth_.jobs = 1;
            show(measure("nth", [this] { return explore_nth(nth_); }));
        });
    }

    void add_list() {
        app_.add_subcommand("list", "show the operations and setups")->callback(list_workloads);
    }

#if defined(QED_MUTANTS) && QED_MUTANTS
    void add_mutants() {
        CLI::App* sub = add("mutants", "plant known bugs and show which check finds each");
        sub->add_option("--only", mutants_.only, "only the mutant of this name");
        sub->add_option("--jobs", mutants_.jobs, "processes")->check(CLI::Range(1, 256));
        sub->add_option("--time", mutants_.seconds, "seconds for each mutant and place to look");
        sub->callback(
            [this] { show(measure("mutants", [this] { return hunt_mutants(mutants_); })); });
    }
    MutantOptions mutants_;
#else
    void add_mutants() {}
#endif

    CLI::App app_;
    CrashOptions crash_;
    SeedOptions seeds_;
    NthOptions nth_;
    bool is_json_ = false;
    bool has_failed_ = false;
};

}  // namespace

int main(int count, char** arguments) {
    // Images are opened and closed a thousand times per second, so malloc should keep their
    // buffers.
    mallopt(M_MMAP_THRESHOLD, 1 << 26);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
    return Program().run(count, arguments);
}
