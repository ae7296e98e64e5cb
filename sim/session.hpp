// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/failure.hpp"
#include "sim/machine.hpp"
#include "sim/operation.hpp"
#include "sim/reference_disk.hpp"

namespace qed::sim {

/// A guest that uses a machine's image and compares every answer with the reference disk.
class Session {
public:
    Session(Machine& machine, ReferenceDisk& disk) : machine_(machine), disk_(disk) {}

    /// Opens the machine's image. This must succeed unless a fault is injected.
    void open();
    /// Runs one operation to its end and checks its result. Throws Failure. An error that an
    /// injected fault explains is counted; the image may be closed afterwards.
    void run(Operation operation);
    /// One of several concurrent requests. A failure is recorded, and stops the world.
    Task<Result<void>> request(Operation operation);
    /// Throws the recorded failure.
    void judge() const;
    void note(const std::string& check, const std::string& message);

    /// Reads every sector that was ever written, and throws if one has a value that is not allowed.
    void verify_reads();
    /// Throws unless the image agrees with the tables in its file, or accepts no more writes
    /// because it cannot know. Flushes deferred tables.
    void verify_tables();
    /// Whether a flush has failed since the image was opened.
    bool has_lost_flush() const {
        return machine_.faults().failed_flushes != flushes_failed_before_;
    }
    /// Checks the file alone: no cluster is named twice, and all are inside the file.
    void verify_file(const char* when);
    /// The closed file ends after its last named cluster, and no other cluster occupies space.
    void verify_space();
    /// Reads every sector and throws unless each may have survived a power cut in [first, last].
    /// Accepts the values that were read as the content of the disk.
    void accept_after_cut(std::uint64_t first, std::uint64_t last, bool is_durable);

    std::uint64_t requests() const noexcept { return requests_; }
    std::uint64_t failed_requests() const noexcept { return failed_; }

private:
    Task<Result<void>> perform(Operation operation);
    Task<Result<void>> read(std::uint64_t offset, std::uint64_t length);
    Task<Result<void>> write(std::uint64_t offset, std::vector<std::byte> data, WriteFlags flags);
    Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length);
    Task<Result<void>> flush(bool quiesces);
    Task<Result<void>> compact_steps(std::uint64_t bytes);
    Task<Result<void>> sort_steps(std::uint64_t bytes);
    void run_quiet(Step step);
    void shrink();
    void rename_backing();
    void detach_backing();
    Task<Result<void>> copy_base();
    void check(Step step);
    /// Throws `failure` unless an injected fault explains it.
    void excuse(const Failure& failure);
    /// A check retries a failed read; if the retry succeeds, the check need not report it.
    void excuse_retry(std::uint64_t injected_before);
    bool is_expected(const Operation& operation, const Error& error) const;

    Machine& machine_;
    ReferenceDisk& disk_;
    std::optional<Failure> failure_;
    std::uint64_t requests_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t flushes_failed_before_ = 0;  // before the image was opened
    std::uint64_t resizes_ = 0;                // that have ended
    unsigned resizes_in_flight_ = 0;
};

/// Runs of consecutive sectors in `sectors`, as offset and length in bytes, each at most `limit`
/// long.
std::vector<std::pair<std::uint64_t, std::uint64_t>> runs_of(std::span<const std::uint64_t> sectors,
                                                             std::uint64_t limit);

}  // namespace qed::sim
