// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/uring/io_loop.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// The properties of a descriptor, found when it was opened.
struct FileTraits {
    FileIdentity identity{};
    std::uint64_t bytes = 0;  ///< length of a regular file; 0 for a device, which keeps its own
    bool writable = false;
    std::uint32_t device_block = 0;  ///< logical block size of a block device; 0: a regular file
    bool ignore_flush = false;
    bool reads_from_memory = false;  ///< reads and writes never wait for storage: tmpfs
    bool reads_nowait = false;       ///< RWF_NOWAIT works
    bool writes_inline = false;      ///< a write is a copy into the page cache
    bool likes_preallocation = false;
    Alignment alignment{};
};

/// A file or block device with its descriptor, which it owns. With O_DIRECT it accepts only aligned
/// requests; DirectFile accepts the others.
class PosixFile final : public BlockFile {
public:
    PosixFile(int descriptor, std::string name, const FileTraits& traits) noexcept;
    ~PosixFile() override;

    bool start(IoOp& op) noexcept override;
    Result<std::uint64_t> size() noexcept override;
    Alignment alignment() const noexcept override { return traits_.alignment; }
    StorageTraits traits() const noexcept override {
        return {.can_punch = state_.can_punch.load(std::memory_order_relaxed),
                .likes_preallocation = traits_.likes_preallocation,
                .can_reserve = state_.can_reserve.load(std::memory_order_relaxed)};
    }
    bool is_read_only() const noexcept override { return !traits_.writable; }
    std::string_view name() const noexcept override { return name_; }
    Result<DataRange> next_data(std::uint64_t at) noexcept override;
    std::optional<FileIdentity> identity() const noexcept override { return traits_.identity; }
    Result<void> lock(LockRole role) override;
    Result<bool> clone_range(BlockFile& source, FileOffset at, std::uint64_t length,
                             FileOffset to) override;
    void start_writeback() noexcept override;
    Result<std::uint64_t> allocated_bytes() noexcept override;

private:
    int descriptor() const noexcept override { return state_.descriptor; }
    bool is_device() const noexcept { return traits_.device_block != 0; }
    /// Whether the request completes at once, without any system call that could wait.
    bool is_done_early(IoOp& op) noexcept;
    bool starts_inline(const IoOp& op) const noexcept;
    /// Tries a read without waiting. True: finished.
    bool read_nowait(IoOp& op) noexcept;
    void run(IoOp& op) noexcept;
    void transfer(IoOp& op) noexcept;
    int set_length(std::uint64_t bytes) noexcept;
    int reserve(const IoOp& op) noexcept;

    FileState state_;
    const FileTraits traits_;
    const std::string name_;
    const pid_t process_;  ///< that opened it
};

}  // namespace qed
