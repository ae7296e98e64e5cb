// SPDX-License-Identifier: Apache-2.0
#include "sim/nth_explorer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "sim/crash_workloads.hpp"
#include "sim/qed_parser.hpp"
#include "sim/recovery.hpp"
#include "sim/session.hpp"

namespace qed::sim {

namespace {

constexpr std::uint64_t kEventLimit = 1'000'000;
constexpr unsigned kGrowth =
    io_bit(IoKind::write) | io_bit(IoKind::truncate) | io_bit(IoKind::allocate);

/// Words of the alphabet of crash_alphabet(). Together they use every symbol.
constexpr std::array kScripts{"acdehiob", "fkmanoec", "jlacoqdh", "mecoabso", "epqdoahr",
                              "iagtficd", "nuhmeovr", "mascdboe", "wxaoyebo", "dohobaeo",
                              "mozbazho", "hcmozdoa", "ecmAzobA", "baoBmesa"};

struct Fault {
    const char* name;
    FaultPlan plan;
};

std::vector<Fault> all_faults() {
    return {
        {"eio-once", {.error = EIO}},
        {"eio-done", {.kinds = io_bit(IoKind::write), .error = EIO, .arrives = true}},
        {"eio-always", {.is_sticky = true, .error = EIO}},
        {"enospc-once", {.kinds = kGrowth, .error = ENOSPC}},
        {"enospc-always", {.is_sticky = true, .kinds = kGrowth, .error = ENOSPC}},
        {"flush-always", {.is_sticky = true, .kinds = io_bit(IoKind::flush), .error = EIO}},
    };
}

/// One script with one fault at one I/O.
class Trial {
public:
    Trial(const NamedSetup& named, const PreparedImage& image, const FaultPlan& plan,
          std::uint64_t at_once_seed, const NthOptions& options)
        : named_(named),
          cuts_(options.cuts),
          is_at_once_(at_once_seed != 0),
          random_(mix(plan.fail_at)),
          world_(mix(at_once_seed ^ plan.fail_at), image.world.moment()),
          disk_(image.disk, world_),
          machine_(world_, named.setup, image.content, !is_at_once_),
          session_(machine_, disk_) {
        machine_.faults() = plan;
        machine_.storage().record_crash_points();
        if (options.narrates) world_.narrate();
    }

    /// Returns false if the script ended before the N-th I/O.
    bool run(std::string_view word);

private:
    void run_script(std::string_view word);
    void check_reported() const;
    void check_memory();
    void check_stopped();
    void check_cuts();
    void check_reopened();

    const NamedSetup& named_;
    std::size_t cuts_;
    bool is_at_once_;
    Random random_;
    World world_;
    ReferenceDisk disk_;
    Machine machine_;
    Session session_;
    FaultPlan done_;               ///< the injected faults
    bool has_lost_flush_ = false;  ///< a flush of the open image failed
    bool is_reported_ = false;     ///< a failed open reported the fault
};

void Trial::run_script(std::string_view word) {
    const auto opened = machine_.open();
    if (!opened) {
        if (machine_.faults().injected == 0) {
            throw Failure("the image opens", opened.error().message());
        }
        is_reported_ = true;
        return;
    }
    // The scan of the tables reads again, in smaller parts, what it could not read.
    is_reported_ = machine_.faults().injected != 0 && machine_.faults().last_kind == IoKind::read;
    for (Operation operation : spell(crash_alphabet(named_.setup), word)) {
        if (machine_.image() == nullptr) return;
        // Only the time after the fault is of interest, and only while the process lives.
        if (machine_.faults().injected == 0 || needs_quiet(operation.step)) {
            static_cast<void>(machine_.storage().take_crash_points());
        }
        // The data of a failed flush may vanish, so only a power cut may follow it.
        if (needs_quiet(operation.step)) {
            if (is_at_once_) continue;
            if (machine_.faults().failed_flushes != 0) return;
        }
        // The model must know the old content of a sector that is written in part.
        const bool is_whole = (operation.offset | operation.length) % kSectorBytes == 0;
        if (!is_whole && (is_at_once_ || machine_.faults().injected != 0)) continue;
        if (has_range(operation.step)) {
            if (operation.offset >= disk_.size()) continue;
            operation.length = std::min(operation.length, disk_.size() - operation.offset);
        }
        if (!is_at_once_) {
            session_.run(operation);
        } else if (operation.step != Step::resize) {
            world_.spawn(session_.request(operation), [operation] { return to_string(operation); });
        }
    }
    if (!is_at_once_) return;
    if (!world_.run(kEventLimit)) throw Failure("progress", "requests go on for ever");
    session_.judge();
    if (!world_.is_idle()) throw Failure("progress", "never ends: " + world_.unfinished().front());
}

void Trial::check_reported() const {
    // A failed punch does no harm: at worst the space leaks.
    if (done_.last_kind == IoKind::punch) return;
    // A file that stays long loses nothing but space.
    if (done_.injected == done_.failed_cuts) return;
    // The file is extended ahead. If that fails, it is extended by what the request needs.
    if (done_.last_kind == IoKind::truncate && !done_.is_sticky) return;
    // A write that finds the disk full flushes and is tried again.
    if (done_.error == ENOSPC && !done_.is_sticky) return;
    if (!is_reported_ && session_.failed_requests() == 0) {
        throw Failure("a failed I/O is reported",
                      fmt::format("I/O of kind {} failed and was not reported",
                                  static_cast<int>(done_.last_kind)));
    }
}

void Trial::check_memory() {
    session_.verify_file("after the fault");
    if (machine_.image() == nullptr) return;
    session_.verify_reads();
    session_.verify_tables();
}

/// A failed flush is never forgotten: the image accepts no more writes, and NEED_CHECK stays set.
void Trial::check_stopped() {
    if (done_.failed_flushes == 0 || machine_.image() == nullptr) return;
    if (!has_lost_flush_) return;  // no flush of this image failed
    const std::vector<std::byte> data = disk_.unique_data(0, kSectorBytes);
    const auto written = world_.run(machine_.image()->write(GuestOffset{0}, data));
    if (written) throw Failure("a failed flush is sticky", "a write succeeds after it");
    const bool was_marked = parse_qed(machine_.storage().current()).needs_check;
    if (machine_.close()) throw Failure("a failed flush is sticky", "close reports success");
    if (was_marked && !parse_qed(machine_.storage().current()).needs_check) {
        throw Failure("a failed flush is sticky", "NEED_CHECK was cleared");
    }
}

void Trial::check_cuts() {
    Recovery recovery(named_.setup, disk_, {.exhaustive_bits = 5, .samples = 12},
                      {.exhaustive_bits = 0, .samples = 1});
    std::vector<CrashPoint> points = machine_.storage().take_crash_points();
    points.resize(std::min(points.size(), cuts_));
    points.push_back(machine_.storage().crash_point(world_.tick()));
    for (const CrashPoint& point : points)
        recovery.explore(point, 1);
}

void Trial::check_reopened() {
    const std::uint64_t moment = world_.tick();
    if (done_.failed_flushes != 0) {
        // The data of the failed flush may vanish at any time: cut the power.
        machine_.cut_power();
        machine_.restore_power(random_);
    } else {
        machine_.kill();
    }
    if (const auto opened = machine_.open(); !opened) {
        throw Failure("the image opens once the fault is gone", opened.error().message());
    }
    const bool may_lose = done_.failed_flushes != 0 || named_.setup.order == WriteOrder::deferred;
    if (may_lose) session_.accept_after_cut(moment, moment, false);
    session_.verify_reads();
    session_.run({.step = Step::write, .offset = 0, .length = 2 * named_.setup.cluster_bytes});
    session_.run({.step = Step::repair});
    session_.verify_reads();
    session_.verify_tables();
}

bool Trial::run(std::string_view word) {
    run_script(word);
    has_lost_flush_ = session_.has_lost_flush();
    done_ = machine_.faults();
    machine_.faults() = {};
    if (done_.injected == 0) return false;
    check_reported();
    check_memory();
    check_cuts();
    check_stopped();
    check_reopened();
    return true;
}

class Explorer {
public:
    Explorer(const NthOptions& options, unsigned number, Tally& tally, Position& position)
        : options_(options), number_(number), tally_(tally), position_(position) {}

    void work() {
        for (const NamedSetup& named : crash_setups()) {
            const bool is_wanted = options_.setup.empty()
                                       ? named.is_used && named.setup.table_clusters == 1
                                       : named.is_used && named.name.starts_with(options_.setup);
            if (!is_wanted) continue;
            const PreparedImage image(named);
            for (const char* script : kScripts) {
                if (!options_.word.empty() && options_.word != script) continue;
                for (const Fault& fault : all_faults()) {
                    if (!options_.fault.empty() && options_.fault != fault.name) continue;
                    // A retry after such a fault only matters at the flushes after it.
                    if (fault.plan.arrives && options_.cuts == 0) continue;
                    run_orders(named, image, script, fault);
                }
            }
        }
    }

private:
    void run_orders(const NamedSetup& named, const PreparedImage& image, const char* script,
                    const Fault& fault) {
        const bool is_replay = options_.nth != 0;
        const std::uint64_t first = is_replay ? options_.at_once_seed : 0;
        const std::uint64_t last = is_replay ? options_.at_once_seed : options_.at_once_seeds;
        for (std::uint64_t seed = first; seed <= last; ++seed) {
            if (turn_++ % options_.jobs != number_ && !is_replay) continue;
            run_all_io(named, image, script, fault, seed);
        }
    }

    void run_all_io(const NamedSetup& named, const PreparedImage& image, const char* script,
                    const Fault& fault, std::uint64_t at_once_seed) {
        ++tally_.counts["scripts"];
        const bool is_replay = options_.nth != 0;
        for (std::uint64_t nth = is_replay ? options_.nth : 1; !is_over(); ++nth) {
            FaultPlan plan = fault.plan;
            plan.fail_at = nth;
            const std::string command = fmt::format(
                "qed-sim nth --setup {} --word {} --fault {} --nth {} --at-once-seed {} --cuts {}",
                named.name, script, fault.name, nth, at_once_seed, options_.cuts);
            position_.set(command);
            auto trial = std::make_unique<Trial>(named, image, plan, at_once_seed, options_);
            try {
                if (!trial->run(script)) {
                    ++tally_.counts["scripts done to their last I/O"];
                    return;
                }
                ++tally_.counts["I/Os failed"];
            } catch (const Failure& failure) {
                // Requests may be stuck, so the objects that they use are not destroyed.
                [[maybe_unused]] auto* const kept = trial.release();
                tally_.failures.push_back(fmt::format("{}\n  {}", failure.what(), command));
            }
            if (is_replay) return;
        }
    }

    bool is_over() const {
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun_;
        return tally_.failures.size() >= options_.most_failures ||
               (options_.seconds > 0 && spent.count() > options_.seconds);
    }

    const NthOptions& options_;
    unsigned number_;
    Tally& tally_;
    Position& position_;
    std::uint64_t turn_ = 0;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

Tally explore_nth(const NthOptions& options) {
    return run_parallel(options.jobs, [&](unsigned number, Tally& tally, Position& position) {
        try {
            Explorer(options, number, tally, position).work();
        } catch (const Failure& failure) {
            tally.failures.emplace_back(failure.what());
        }
    });
}

}  // namespace qed::sim
