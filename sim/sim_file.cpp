// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_file.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace qed::sim {

int FaultPlan::decide(Random& random, IoKind kind) {
    if ((kinds & io_bit(kind)) == 0) return 0;
    ++seen;
    const bool is_nth = fail_at != 0 && (is_sticky ? seen >= fail_at : seen == fail_at);
    const std::uint32_t of_65536 = chance[static_cast<unsigned>(kind)];
    if (!is_nth && (of_65536 == 0 || !random.chance(of_65536, 65536))) return 0;
    ++injected;
    if (kind == IoKind::flush) ++failed_flushes;
    last_kind = kind;
    return error;
}

void FaultPlan::lift() {
    fail_at = 0;
    chance.fill(0);
    space_limit = ~std::uint64_t{0};
}

/// An I/O in flight.
struct SimFile::Flight final : Happening {
    Flight(SimFile& in_file, IoOp& of_op) : file(in_file), op(of_op) {}
    void happen() override {
        if (!has_effect) {
            has_effect = true;
            file.take_effect(*this);
            const std::uint64_t rest = file.world_.random().chance(1, 2) ? 0 : file.delay();
            if (rest != 0) {
                file.world_.schedule(*this, rest);
                return;
            }
        }
        file.complete(*this);  // destroys *this
    }

    SimFile& file;
    IoOp& op;
    Storage::ChangeRef change;
    std::uint64_t begun = 0;
    int error = 0;
    bool has_effect = false;
};

std::uint64_t SimFile::delay() {
    Random& random = world_.random();
    const std::uint64_t dice = random.below(100);
    if (dice < 70) return random.below(8);
    if (dice < 93) return random.below(64);
    return random.below(2048);
}

int SimFile::refuse(const IoOp& op) {
    if (!has_power()) return EIO;
    if (options_.is_read_only && op.kind != IoKind::read && op.kind != IoKind::flush) return EBADF;
    if (op.kind == IoKind::punch && !options_.can_punch) return EOPNOTSUPP;
    if (options_.faults == nullptr) return 0;
    const std::uint64_t end = op.offset + op.length;
    const bool grows = op.kind != IoKind::read && op.kind != IoKind::flush &&
                       op.kind != IoKind::punch && end > storage_->size();
    if (grows && end > options_.faults->space_limit) {
        ++options_.faults->injected;
        return ENOSPC;
    }
    const int error = options_.faults->decide(world_.random(), op.kind);
    const bool is_cut = op.kind == IoKind::truncate && op.offset < storage_->size();
    if (error != 0 && is_cut) ++options_.faults->failed_cuts;
    return error;
}

void SimFile::begin(Flight& flight) {
    const IoOp& op = flight.op;
    const std::uint64_t now = world_.tick();
    flight.begun = now;
    switch (op.kind) {
        case IoKind::read:
        case IoKind::flush:
            return;
        case IoKind::write: {
            std::vector<std::byte> data;
            data.reserve(op.length);
            IoOp& source = flight.op;
            for (unsigned index = 0; index < op.buffer_count; ++index) {
                const iovec& part = source.vector()[index];
                const auto* bytes = static_cast<const std::byte*>(part.iov_base);
                data.insert(data.end(), bytes, bytes + part.iov_len);
            }
            if (data.size() != op.length) throw Failure("engine", "buffers and length differ");
            flight.change = storage_->begin_write(now, op.offset, data);
            return;
        }
        case IoKind::punch:
            flight.change = storage_->begin_zero(now, op.offset, op.length);
            return;
        case IoKind::truncate:
            flight.change = storage_->begin_resize(now, op.offset);
            return;
        case IoKind::allocate:
            if (op.offset + op.length > storage_->size()) {
                flight.change = storage_->begin_resize(now, op.offset + op.length);
            }
            return;
    }
}

void SimFile::fill(IoOp& op) {
    std::uint64_t at = op.offset;
    for (unsigned index = 0; index < op.buffer_count; ++index) {
        const iovec& part = op.vector()[index];
        storage_->current().read(at, {static_cast<std::byte*>(part.iov_base), part.iov_len});
        at += part.iov_len;
    }
}

void SimFile::take_effect(Flight& flight) {
    if (!has_power()) {
        flight.error = EIO;
        return;
    }
    const IoOp& op = flight.op;
    if (flight.error == 0) {
        if (flight.change) storage_->take_effect(flight.change);
        if (op.kind == IoKind::read) fill(flight.op);
        if (op.kind == IoKind::flush) storage_->finish_flush(flight.begun, world_.tick());
        return;
    }
    if (op.kind == IoKind::flush) storage_->fail_flush(flight.begun);
    if (!flight.change) return;
    // A failed write may have written any sectors; one that was rejected for lack of space or for
    // its kind has written none.
    const bool is_torn = flight.error == EIO && op.kind == IoKind::write;
    const bool arrives = options_.faults != nullptr && options_.faults->arrives;
    const std::uint64_t luck = arrives ? 0 : world_.random().below(3);
    storage_->take_partial_effect(flight.change, [this, is_torn, luck] {
        return is_torn && (luck == 0 || (luck == 1 && world_.random().chance(1, 2)));
    });
}

void SimFile::narrate(const IoOp& op, std::uint64_t begun) const {
    if (!world_.is_narrating()) return;
    static constexpr std::array kNames{"read", "write", "flush", "truncate", "punch", "allocate"};
    world_.trace(fmt::format("  {}: {} {:#x}+{:#x} begun {}, error {}", options_.name,
                             kNames[static_cast<std::size_t>(op.kind)], op.offset, op.length, begun,
                             op.error));
}

void SimFile::complete(Flight& flight) {
    if (!has_power()) flight.error = EIO;
    const std::uint64_t now = world_.tick();
    if (flight.change && has_power()) storage_->complete(flight.change, now);
    world_.trace(now, flight.op.offset, static_cast<std::uint64_t>(flight.error));
    IoOp& op = flight.op;
    op.error = flight.error;
    narrate(op, flight.begun);
    delete &flight;
    op.complete();
}

bool SimFile::start(IoOp& op) noexcept {
    world_.trace(static_cast<std::uint64_t>(op.kind), op.offset, op.length);
    Power* power = options_.power;
    if (has_power() && power != nullptr && ++power->started == power->cut_at) {
        power->go_off(world_.tick());
    }
    const int error = refuse(op);
    if (!has_power()) {
        op.error = error;
        return false;
    }
    auto flight = std::make_unique<Flight>(*this, op);
    flight->error = error;
    begin(*flight);
    // A request whose home is another executor, such as that of sync_wait(), blocks its thread.
    if (!options_.is_inline && op.waiter.home == &world_) {
        world_.schedule(*flight.release(), delay());
        return true;
    }
    take_effect(*flight);
    if (flight->change) storage_->complete(flight->change, world_.tick());
    op.error = flight->error;
    narrate(op, flight->begun);
    return false;
}

}  // namespace qed::sim
