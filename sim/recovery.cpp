// SPDX-License-Identifier: Apache-2.0
#include "sim/recovery.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/qed_parser.hpp"
#include "sim/session.hpp"

namespace qed::sim {

namespace {

constexpr std::uint64_t kReadLimit = 64 * 1024;
constexpr std::uint64_t kProbeStamp = 0x9999999999999999U;

void expect_sound(const ParsedImage& image, const char* when) {
    if (image.faults.empty()) return;
    throw Failure("no cluster is named twice or outside",
                  fmt::format("{}: {}", when, image.faults.front()));
}

void expect_ok(const Result<void>& done, const char* promise) {
    if (!done) throw Failure(promise, done.error().message());
}

std::vector<std::byte> read_image(Machine& machine, std::uint64_t offset, std::uint64_t length) {
    std::vector<std::byte> buffer(length, std::byte{0x5A});
    expect_ok(machine.image()->read_blocking(GuestOffset{offset}, buffer),
              "what survived can be read");
    return buffer;
}

}  // namespace

/// The content that the guest saw after the recovery; no later step may change it.
struct Recovery::Contents {
    std::uint64_t image_bytes = 0;
    std::vector<std::pair<std::uint64_t, std::vector<std::byte>>> parts;
};

void Recovery::explore(const CrashPoint& point, std::uint64_t seed) {
    ++counts_.points;
    const CrashCoverage coverage =
        CrashStates(point, seed).visit(limits_, [this](const CrashState& state) {
            recover(state, false);
        });
    if (coverage.is_exhaustive) ++counts_.exhaustive_points;
}

void Recovery::check_before(const CrashState& state) {
    const ParsedImage parsed = parse_qed(state.content);
    if (!parsed.is_usable) throw Failure("the header survives", parsed.faults.front());
    if (parsed.needs_check) ++counts_.dirty;
    if (parsed.leaked_clusters != 0) ++counts_.with_leaks;
    if (!parsed.needs_check) expect_sound(parsed, "right after the power cut, not marked");

    World world(1);
    Machine machine(world, setup_, state.content, true);
    const auto report = machine.check(Repair::none);
    if (!report) throw Failure("a check runs", report.error().message());
    const std::uint64_t found = report->corruptions + report->check_errors;
    if ((found == 0) != parsed.faults.empty()) {
        throw Failure("check tells the truth",
                      fmt::format("check counts {} corruptions where there are {}", found,
                                  parsed.faults.size()));
    }
    if (parsed.faults.empty() && (report->leaks != parsed.leaked_clusters ||
                                  report->free_clusters != parsed.free_clusters)) {
        throw Failure(
            "check tells the truth",
            fmt::format("check counts {} leaks of {}, {} free clusters of {}", report->leaks,
                        parsed.leaked_clusters, report->free_clusters, parsed.free_clusters));
    }
    if (machine.storage().current().hash() != state.content.hash()) {
        throw Failure("check without repair changes nothing", "the file is not the same");
    }
}

void Recovery::check_read_only(const CrashState& state) {
    World world(1);
    Machine machine(world, setup_, state.content, true);
    expect_ok(machine.open(false), "a dirty image opens read-only");
    const std::uint64_t bytes = machine.image()->size();
    for (const auto& [offset, length] :
         runs_of(disk_.touched_sectors(bytes), setup_.cluster_bytes)) {
        std::vector<std::byte> data(length);
        const auto done = machine.image()->read_blocking(GuestOffset{offset}, data);
        // An entry may reach the disk before the cluster that it names. It is then unreadable until
        // a repair. This is allowed only where the disk may also hold zeroes.
        if (!done && done.error().code() == Errc::corrupt_metadata) {
            data.assign(length, std::byte{0});
        } else {
            expect_ok(done, "what survived can be read");
        }
        if (const auto fault = disk_.fault_after_cut(offset, data, state.first, state.last)) {
            throw Failure("flushed data can be read before a repair", *fault);
        }
    }
    expect_ok(machine.close(), "the image closes");
    if (machine.storage().current().hash() != state.content.hash()) {
        throw Failure("a read-only open changes nothing", "the file is not the same");
    }
}

Recovery::Contents Recovery::read_back(Machine& machine, const CrashState& state) const {
    Contents contents{.image_bytes = machine.image()->size(), .parts = {}};
    if (!disk_.is_size_allowed(contents.image_bytes, state.first, state.last)) {
        throw Failure("the size is an allowed one", fmt::format("{:#x}", contents.image_bytes));
    }
    auto sectors = disk_.touched_sectors(contents.image_bytes);
    for (const auto& [offset, length] : runs_of(sectors, kReadLimit)) {
        auto data = read_image(machine, offset, length);
        if (const auto fault = disk_.fault_after_cut(offset, data, state.first, state.last)) {
            throw Failure("a sector holds its last flushed or a later value", *fault);
        }
        contents.parts.emplace_back(offset, std::move(data));
    }
    return contents;
}

void Recovery::expect_same(Machine& machine, const Contents& contents, const char* when) const {
    if (machine.image()->size() != contents.image_bytes) {
        throw Failure("recovered data does not change", fmt::format("{}: the size did", when));
    }
    for (const auto& [offset, data] : contents.parts) {
        const auto now = read_image(machine, offset, data.size());
        const auto differs = std::ranges::mismatch(now, data);
        if (differs.in1 == now.end()) continue;
        const auto at = static_cast<std::size_t>(differs.in1 - now.begin()) & ~std::size_t{511};
        throw Failure(
            "recovered data does not change",
            fmt::format("{}: sector {} held {}, now {}", when, (offset + at) / kSectorBytes,
                        describe_sector(std::span(data).subspan(at, kSectorBytes)),
                        describe_sector(std::span(now).subspan(at, kSectorBytes))));
    }
}

std::vector<std::uint64_t> Recovery::probe(Machine& machine) {
    // One sector in each of two unused clusters: the first and the last one.
    const ParsedImage parsed = parse_qed(machine.storage().current());
    const std::uint64_t unit = setup_.cluster_bytes;
    const std::uint64_t clusters = parsed.image_bytes / unit;
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t cluster = 8; cluster < clusters && offsets.empty(); ++cluster) {
        if (!parsed.entries.contains(cluster) && !disk_.is_touched(cluster * unit / kSectorBytes)) {
            offsets.push_back(cluster * unit);
        }
    }
    const std::uint64_t last = (clusters - 1) * unit + unit - kSectorBytes;
    if (clusters > 0 && !disk_.is_touched(last / kSectorBytes)) offsets.push_back(last);
    std::vector<std::byte> sector(kSectorBytes);
    for (const std::uint64_t offset : offsets) {
        stamp_sector(sector, kProbeStamp, offset / kSectorBytes);
        expect_ok(machine.image()->write_blocking(GuestOffset{offset}, sector),
                  "a recovered image can be written");
    }
    expect_ok(machine.image()->flush_blocking(), "a recovered image can be written");
    return offsets;
}

void Recovery::check_after(Machine& machine, const Contents& contents,
                           const std::vector<std::uint64_t>& probes) {
    const ParsedImage parsed = parse_qed(machine.storage().current());
    expect_sound(parsed, "after recovery, allocation and close");
    if (parsed.needs_check) throw Failure("closing clears NEED_CHECK", "it is set");
    expect_space_given_back(machine.storage().current());
    for (const char* when : {"after a repair", "after a second repair"}) {
        const std::uint64_t before = machine.storage().current().hash();
        const auto report = machine.check(Repair::all);
        if (!report) throw Failure("a check runs", report.error().message());
        if (report->corruptions + report->corruptions_fixed + report->check_errors != 0) {
            throw Failure("check finds leaks at most", when);
        }
        const bool is_second = std::string_view(when).contains("second");
        if (is_second && (report->leaks + report->leaks_fixed != 0 ||
                          machine.storage().current().hash() != before)) {
            throw Failure("repair is idempotent", "the second one found something to do");
        }
    }
    expect_ok(machine.open(), "the image opens");
    expect_same(machine, contents, "after repair and reopen");
    std::vector<std::byte> expected(kSectorBytes);
    for (const std::uint64_t offset : probes) {
        stamp_sector(expected, kProbeStamp, offset / kSectorBytes);
        if (read_image(machine, offset, kSectorBytes) != expected) {
            throw Failure("recovered data does not change", "new data is gone after repair");
        }
    }
    expect_ok(machine.close(), "the image closes");
}

void Recovery::cut_again(Machine& machine, const CrashState& state) {
    auto points = machine.storage().take_crash_points();
    points.push_back(machine.storage().crash_point(machine.world().tick()));
    for (const CrashPoint& point : points) {
        if (point.pending.empty()) continue;
        CrashStates(point, counts_.states).visit(second_limits_, [&](const CrashState& next) {
            recover({.content = next.content, .first = state.first, .last = state.last}, true);
        });
    }
}

void Recovery::recover(const CrashState& state, bool is_second) {
    ++counts_.states;
    if (is_second) ++counts_.second_cuts;
    check_before(state);
    check_read_only(state);

    World world(1);
    Machine machine(world, setup_, state.content, true);
    const std::uint64_t hash = state.content.hash();
    const bool cuts_again = !is_second && recovered_.insert(hash).second;
    if (cuts_again) machine.storage().record_crash_points();
    expect_ok(machine.open(), "the image opens");
    if (cuts_again) cut_again(machine, state);
    expect_sound(parse_qed(machine.storage().current()), "after recovery");
    const Contents contents = read_back(machine, state);
    const auto probes = probe(machine);
    expect_same(machine, contents, "after allocating writes");
    expect_sound(parse_qed(machine.storage().current()), "after allocating writes");
    expect_ok(machine.close(), "the image closes");
    // The steps after the recovery are the same for most states, so an eighth of them suffices.
    if (cuts_again && hash % 8 == 0) cut_again(machine, state);
    check_after(machine, contents, probes);
}

}  // namespace qed::sim
