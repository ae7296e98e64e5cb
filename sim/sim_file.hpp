// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "qed/block_file.hpp"
#include "sim/storage.hpp"
#include "sim/world.hpp"

namespace qed::sim {

inline constexpr unsigned kAllIo = 0x3F;
constexpr unsigned io_bit(IoKind kind) {
    return 1U << static_cast<unsigned>(kind);
}

/// Which I/Os fail. Shared by all files of a run, so that the count continues after a reopen.
struct FaultPlan {
    std::uint64_t fail_at = 0;  ///< the N-th I/O among `kinds`, counted from 1; 0: none
    bool is_sticky = false;     ///< all later I/Os of `kinds` fail too
    unsigned kinds = kAllIo;    ///< of io_bit()
    int error = EIO;
    bool arrives = false;  ///< a write that fails with EIO is done nevertheless; else at random
    std::array<std::uint32_t, 6> chance{};          ///< of 65536, by IoKind
    std::uint64_t space_limit = ~std::uint64_t{0};  ///< the file cannot grow past it: ENOSPC

    std::uint64_t seen = 0;      ///< I/Os among `kinds` so far
    std::uint64_t injected = 0;  ///< failures so far
    std::uint64_t failed_flushes = 0;
    std::uint64_t failed_cuts = 0;  ///< failed truncations that only shorten a file
    IoKind last_kind{};             ///< kind of the last failed I/O

    /// The errno with which the next I/O must fail, or 0.
    int decide(Random& random, IoKind kind);
    /// Ends all faults.
    void lift();
};

/// The power supply that the files of one machine share. After a power cut every I/O fails, and no
/// file changes.
struct Power {
    bool is_on = true;
    std::uint64_t started = 0;  ///< I/Os so far
    std::uint64_t cut_at =
        0;                    ///< the I/O, counted from 1, at whose start the power is cut; 0: none
    Storage* disk = nullptr;  ///< the disk whose state is recorded at the power cut
    std::optional<CrashPoint> cut;

    void go_off(std::uint64_t moment) {
        is_on = false;
        cut = disk->crash_point(moment);
    }
};

struct SimFileOptions {
    std::string name = "disk.qed";
    bool is_read_only = false;
    bool is_inline = false;  ///< every I/O completes when it starts
    bool can_punch = true;
    FaultPlan* faults = nullptr;
    Power* power = nullptr;
};

/// A BlockFile over a Storage. An I/O takes effect some time after its start, and completes some
/// time after that. The delays are random, mostly short, and sometimes longer than all other I/O.
class SimFile final : public BlockFile {
public:
    SimFile(World& world, std::shared_ptr<Storage> storage, SimFileOptions options)
        : world_(world), storage_(std::move(storage)), options_(std::move(options)) {}

    bool start(IoOp& op) noexcept override;
    Result<std::uint64_t> size() noexcept override { return storage_->size(); }
    StorageTraits traits() const noexcept override {
        return {.can_punch = options_.can_punch, .can_reserve = true};
    }
    bool is_read_only() const noexcept override { return options_.is_read_only; }
    std::string_view name() const noexcept override { return options_.name; }
    Result<DataRange> next_data(std::uint64_t at) noexcept override {
        const std::uint64_t begin = storage_->current().next_data(at);
        return DataRange{begin, storage_->current().next_hole(begin)};
    }

private:
    struct Flight;

    bool has_power() const noexcept { return options_.power == nullptr || options_.power->is_on; }
    int refuse(const IoOp& op);
    void begin(Flight& flight);
    void take_effect(Flight& flight);
    void complete(Flight& flight);
    std::uint64_t delay();
    void fill(IoOp& op);
    void narrate(const IoOp& op, std::uint64_t begun) const;

    World& world_;
    std::shared_ptr<Storage> storage_;
    SimFileOptions options_;
};

}  // namespace qed::sim
