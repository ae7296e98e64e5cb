// SPDX-License-Identifier: Apache-2.0
#include "sim/session.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "qed/compact.hpp"
#include "sim/qed_parser.hpp"

namespace qed::sim {

namespace {

constexpr std::uint64_t kReadLimit = 64 * 1024;

}  // namespace

std::vector<std::pair<std::uint64_t, std::uint64_t>> runs_of(std::span<const std::uint64_t> sectors,
                                                             std::uint64_t limit) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> runs;
    for (const std::uint64_t sector : sectors) {
        const std::uint64_t at = sector * kSectorBytes;
        if (!runs.empty() && runs.back().first + runs.back().second == at &&
            runs.back().second < limit) {
            runs.back().second += kSectorBytes;
        } else {
            runs.emplace_back(at, kSectorBytes);
        }
    }
    return runs;
}

void Session::note(const std::string& check, const std::string& message) {
    if (!failure_) failure_.emplace(check, message);
    machine_.world().stop();
}

void Session::judge() const {
    if (failure_) throw *failure_;
}

bool Session::is_expected(const Operation& operation, const Error& error) const {
    if (!machine_.has_power()) return true;
    if (error.code() == Errc::out_of_range) return resizes_in_flight_ > 0;
    const FaultPlan& faults = machine_.faults();
    if (faults.injected == 0) return false;
    return error.code() == Errc::io_error || error.code() == Errc::no_space ||
           (error.code() == Errc::write_stopped && operation.step != Step::read);
}

Task<Result<void>> Session::request(Operation operation) {
    ++requests_;
    const unsigned resizes_before = resizes_in_flight_;
    const std::uint64_t resized_before = resizes_;
    World& world = machine_.world();
    const std::uint64_t begun = world.tick();
    if (world.is_narrating()) world.trace(to_string(operation));
    Result<void> done = co_await perform(operation);
    if (world.is_narrating()) {
        world.trace(fmt::format("{} begun {}: {}", to_string(operation), begun,
                                done ? std::string("done") : done.error().message()));
    }
    if (!done) {
        ++failed_;
        const bool was_resized = resizes_before > 0 || resizes_ != resized_before;
        const bool is_late = done.error().code() == Errc::out_of_range && was_resized;
        if (!is_late && !is_expected(operation, done.error())) {
            note("no error without a cause",
                 fmt::format("{}: {}: {}", to_string(operation), to_string(done.error().code()),
                             done.error().message()));
        }
    }
    co_return done;
}

Task<Result<void>> Session::read(std::uint64_t offset, std::uint64_t length) {
    std::vector<std::byte> buffer(length, std::byte{0xA5});
    const std::uint64_t begun = disk_.begin_read();
    Result<void> done = co_await machine_.image()->read(GuestOffset{offset}, buffer);
    if (done) {
        const auto fault = disk_.fault_in_read(offset, buffer, begun);
        if (fault) note("reads see the latest write", *fault);
    }
    disk_.end_read(begun);
    co_return done;
}

Task<Result<void>> Session::write(std::uint64_t offset, std::vector<std::byte> data,
                                  WriteFlags flags) {
    const auto id = disk_.begin_write(offset, data);
    Result<void> done = co_await machine_.image()->write(GuestOffset{offset}, data, flags);
    disk_.end(id, done.has_value());
    if (done && has(flags, WriteFlags::fua)) disk_.make_durable(id);
    co_return done;
}

Task<Result<void>> Session::flush(bool quiesces) {
    const std::uint64_t begun = machine_.world().tick();
    if (quiesces) {
        QED_CO_CHECK(co_await machine_.image()->quiesce());
    } else {
        QED_CO_CHECK(co_await machine_.image()->flush());
    }
    disk_.end_flush(begun);
    co_return Result<void>{};
}

Task<Result<void>> Session::discard(std::uint64_t offset, std::uint64_t length) {
    // Whole clusters become zeroes. The last cluster of the disk may count as whole or not.
    const std::uint64_t unit = machine_.setup().cluster_bytes;
    const std::uint64_t end = offset + length;
    const std::uint64_t first = (offset + unit - 1) / unit * unit;
    const std::uint64_t last = std::max(first, end / unit * unit);
    const auto whole = disk_.begin_zero(first, last - first);
    const bool is_at_end = end == machine_.image()->size();
    const auto rest = disk_.begin_zero(last, is_at_end && end > last ? end - last : 0);
    Result<void> done = co_await machine_.image()->discard(GuestOffset{offset}, length);
    disk_.end(whole, done.has_value());
    disk_.end(rest, false);
    co_return done;
}

// While other requests are in flight, steps may wait for them for ever: only so many.
Task<Result<void>> Session::compact_steps(std::uint64_t bytes) {
    for (unsigned step = 0; step < 8; ++step) {
        const Result<CompactStep> done = co_await machine_.image()->compact_step(bytes);
        if (!done) co_return std::unexpected(done.error().clone());
        if (!done->has_more) break;
        co_await yield();
    }
    co_return Result<void>{};
}

Task<Result<void>> Session::sort_steps(std::uint64_t bytes) {
    for (unsigned step = 0; step < 4; ++step) {
        const Result<SortStep> done = co_await machine_.image()->sort_step(bytes);
        if (!done) co_return std::unexpected(done.error().clone());
        if (!done->has_more) break;
        co_await yield();
    }
    co_return Result<void>{};
}

Task<Result<void>> Session::perform(Operation operation) {
    Image& image = *machine_.image();
    const GuestOffset offset{operation.offset};
    const std::uint64_t length = operation.length;
    switch (operation.step) {
        case Step::read:
            co_return co_await read(operation.offset, length);
        case Step::write:
            co_return co_await write(operation.offset, disk_.unique_data(operation.offset, length),
                                     WriteFlags::none);
        case Step::write_fua:
            co_return co_await write(operation.offset, disk_.unique_data(operation.offset, length),
                                     WriteFlags::fua);
        case Step::store_zeroes:
            co_return co_await write(operation.offset, std::vector<std::byte>(length),
                                     WriteFlags::none);
        case Step::flush:
        case Step::quiesce:
            co_return co_await flush(operation.step == Step::quiesce);
        case Step::prefetch:
            co_return co_await image.prefetch(offset, length);
        case Step::write_zeroes:
        case Step::write_zeroes_unmap: {
            const bool unmaps = operation.step == Step::write_zeroes_unmap;
            const auto id = disk_.begin_zero(operation.offset, length);
            Result<void> done = co_await image.write_zeroes(
                offset, length, unmaps ? WriteFlags::may_unmap : WriteFlags::none);
            disk_.end(id, done.has_value());
            co_return done;
        }
        case Step::discard:
            co_return co_await discard(operation.offset, length);
        case Step::resize: {
            ++resizes_in_flight_;
            const auto id = disk_.begin_resize(length);
            Result<void> done = co_await image.resize(length, true);
            disk_.end(id, done.has_value());
            if (!done) disk_.set_size(image.size());
            --resizes_in_flight_;
            ++resizes_;
            co_return done;
        }
        case Step::sort_step:
            co_return co_await sort_steps(length);
        case Step::compact_step:
            co_return co_await compact_steps(length);
        case Step::shrink:
        case Step::reopen:
        case Step::kill:
        case Step::repair:
        case Step::repair_leaks:
        case Step::compact:
        case Step::rename_backing:
        case Step::detach_backing:
            break;
    }
    co_return fail(Errc::invalid_argument, "not a request");
}

void Session::run(Operation operation) {
    if (needs_quiet(operation.step)) {
        run_quiet(operation.step);
    } else {
        const Result<void> done = machine_.world().run(request(operation));
        if (!done) judge();
    }
    judge();
}

void Session::excuse(const Failure& failure) {
    if (machine_.faults().injected == 0 && machine_.has_power()) throw failure;
    ++failed_;
}

void Session::excuse_retry(std::uint64_t injected_before) {
    const FaultPlan& faults = machine_.faults();
    if (faults.injected != injected_before && faults.last_kind == IoKind::read) ++failed_;
}

void Session::open() {
    flushes_failed_before_ = machine_.faults().failed_flushes;
    const std::uint64_t injected = machine_.faults().injected;
    if (const auto opened = machine_.open(); !opened) {
        excuse(Failure("the image opens", opened.error().message()));
        return;
    }
    excuse_retry(injected);
    // A failed resize may have reached the header nevertheless.
    const std::uint64_t now = machine_.world().tick();
    const std::uint64_t bytes = machine_.image()->size();
    if (!disk_.is_size_allowed(bytes, now, now)) {
        throw Failure("the size is an allowed one", fmt::format("{:#x} bytes", bytes));
    }
    disk_.set_size(bytes);
}

void Session::run_quiet(Step step) {
    const std::uint64_t begun = machine_.world().tick();
    if (step == Step::kill) {
        machine_.kill();
        verify_file("after the process died");
        open();
        // Deferred entries are lost with the process; flushed data is not.
        if (machine_.setup().order == WriteOrder::deferred && machine_.image() != nullptr) {
            accept_after_cut(begun, begun, false);
        }
        return;
    }
    if (step == Step::rename_backing) return rename_backing();
    if (step == Step::shrink) return shrink();
    if (step == Step::detach_backing) return detach_backing();
    if (step == Step::compact) {
        if (const auto given_up = give_up_zero_clusters(*machine_.image()); !given_up) {
            excuse(Failure("compacting gives up zeroes", given_up.error().message()));
        }
    }
    if (const auto closed = machine_.close(); closed) {
        disk_.end_flush(begun);
    } else {
        excuse(Failure("the image closes", closed.error().message()));
        return;
    }
    verify_file("after closing");
    if (machine_.faults().injected == 0) verify_space();
    if (step == Step::repair || step == Step::repair_leaks || step == Step::compact) check(step);
    // The data of a failed flush may vanish, so only a power cut may follow it.
    if (machine_.faults().failed_flushes == 0) open();
}

void Session::shrink() {
    constexpr std::uint64_t kStepBytes = 64 * 1024;
    constexpr unsigned kMostSteps = 10'000;
    Image& image = *machine_.image();
    const std::uint64_t begun = machine_.world().tick();
    Result<CompactStep> done = CompactStep{.has_more = true};
    for (unsigned steps = 0; done && done->has_more; ++steps) {
        if (steps == kMostSteps) throw Failure("progress", "compact steps go on for ever");
        done = machine_.world().run(image.compact_step(kStepBytes));
    }
    Result<void> quiesced;
    if (!done) quiesced = std::unexpected(done.error().clone());
    if (quiesced) quiesced = machine_.world().run(image.quiesce());
    if (!quiesced) {
        excuse(Failure("the image shrinks", quiesced.error().message()));
        return;
    }
    disk_.end_flush(begun);
    if (machine_.faults().injected == 0) expect_packed(machine_.storage().current());
}

void Session::rename_backing() {
    if (machine_.image()->backing_name().empty()) return;  // none to rename
    const char* other = machine_.image()->backing_name() == kBaseName ? kOtherBaseName : kBaseName;
    const auto done = machine_.world().run(
        machine_.image()->set_backing_name(other, machine_.setup().base_format()));
    if (!done) excuse(Failure("the backing file can be renamed", done.error().message()));
}

// Until the image is closed, requests still see the base.
void Session::detach_backing() {
    if (machine_.image()->backing_name().empty()) return;
    auto done = machine_.world().run(copy_base());
    if (done) {
        done = machine_.world().run(
            machine_.image()->set_backing_name(nullptr, BackingFormat::unstated));
    }
    judge();
    if (!done) excuse(Failure("the backing file can be detached", done.error().message()));
}

Task<Result<void>> Session::copy_base() {
    Image& image = *machine_.image();
    for (std::uint64_t at = 0; at < image.size();) {
        const std::uint64_t most = std::min(image.size() - at, kReadLimit);
        const Result<Mapping> found = co_await image.extent_at(GuestOffset{at}, most);
        if (!found) co_return std::unexpected(found.error().clone());
        if (found->kind == Mapping::Kind::unallocated) {
            std::vector<std::byte> data(found->length);
            QED_CO_CHECK(co_await image.read(GuestOffset{at}, data));
            QED_CO_CHECK(co_await write(at, std::move(data), WriteFlags::none));
        }
        at += found->length;
    }
    co_return Result<void>{};
}

void Session::check(Step step) {
    const std::uint64_t injected = machine_.faults().injected;
    const auto report = machine_.check(step == Step::repair ? Repair::all : Repair::leaks);
    excuse_retry(injected);
    if (!report) {
        excuse(Failure("a check runs", report.error().message()));
        return;
    }
    if (report->check_errors != 0) excuse(Failure("a check runs", "a table cannot be read"));
    if (report->corruptions + report->corruptions_fixed != 0) {
        throw Failure("check finds leaks at most", "corruption in a closed image");
    }
    if (report->leaks != 0) {
        excuse(Failure("repair reclaims leaks", fmt::format("{} left", report->leaks)));
    }
}

void Session::verify_reads() {
    const auto sectors = disk_.touched_sectors(disk_.size());
    for (const auto& [offset, length] : runs_of(sectors, kReadLimit)) {
        run({.step = Step::read, .offset = offset, .length = length});
    }
}

void Session::verify_file(const char* when) {
    const ParsedImage parsed = parse_qed(machine_.storage().current());
    if (!parsed.faults.empty() && !parsed.needs_check) {
        throw Failure("no cluster is named twice or outside",
                      fmt::format("{}: {}", when, parsed.faults.front()));
    }
}

void Session::verify_space() {
    expect_space_given_back(machine_.storage().current());
}

void Session::verify_tables() {
    if (const auto flushed = machine_.world().run(machine_.image()->flush()); !flushed) {
        if (flushed.error().code() == Errc::write_stopped) return;
        throw Failure("no error without a cause", flushed.error().message());
    }
    const ParsedImage parsed = parse_qed(machine_.storage().current());
    Image& image = *machine_.image();
    const std::uint64_t unit = parsed.cluster_bytes;
    for (std::uint64_t at = 0; at < image.size();) {
        const auto extent =
            machine_.world().run(image.extent_at(GuestOffset{at}, image.size() - at));
        if (!extent) throw Failure("tables can be read", extent.error().message());
        for (std::uint64_t end = at + extent->length, inside = 0; at < end;
             at += unit, inside += unit) {
            const auto found = parsed.entries.find(at / unit);
            const std::uint64_t entry = found == parsed.entries.end() ? 0 : found->second;
            const Mapping::Kind kind = entry == 0   ? Mapping::Kind::unallocated
                                       : entry == 1 ? Mapping::Kind::zero
                                                    : Mapping::Kind::data;
            const bool is_same =
                kind == extent->kind && (entry < 2 || entry == extent->offset.value + inside);
            if (!is_same) {
                throw Failure("memory agrees with the file",
                              fmt::format("guest {:#x}: the table says {:#x}, the image says "
                                          "kind {} at {:#x}",
                                          at, entry, static_cast<int>(extent->kind),
                                          extent->offset.value + inside));
            }
        }
    }
}

void Session::accept_after_cut(std::uint64_t first, std::uint64_t last, bool is_durable) {
    Image& image = *machine_.image();
    const FaultPlan faults = std::exchange(machine_.faults(), {});  // no faults for this check
    if (!disk_.is_size_allowed(image.size(), first, last)) {
        throw Failure("the size is an allowed one", fmt::format("{:#x} bytes", image.size()));
    }
    disk_.settle_size(image.size());
    const auto sectors = disk_.touched_sectors(disk_.size());
    for (const auto& [offset, length] : runs_of(sectors, kReadLimit)) {
        std::vector<std::byte> buffer(length);
        const auto done = machine_.world().run(image.read(GuestOffset{offset}, buffer));
        if (!done) throw Failure("what survived can be read", done.error().message());
        if (const auto fault = disk_.fault_after_cut(offset, buffer, first, last)) {
            throw Failure("a sector holds its last flushed or a later value", *fault);
        }
        disk_.settle(offset, buffer, is_durable);
    }
    machine_.faults() = faults;
}

}  // namespace qed::sim
