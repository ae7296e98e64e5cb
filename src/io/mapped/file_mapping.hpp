// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace qed {

/// A file that is mapped into memory for reading. If a page cannot be read, because a program has
/// truncated the file or the disk fails, copies report it, and the process continues.
///
/// The kernel reports it with SIGBUS. The first mapping installs a handler, which stays: it handles
/// the signals of this class's copies, and passes all others to the previous handler.
/// See docs/adr/0013-mapped-reads.md.
class FileMapping {
public:
    /// Null if the file is empty, if the address space has no room for it, or if another handler of
    /// SIGBUS has replaced this one: the file is then read by system calls.
    static std::unique_ptr<FileMapping> create(int descriptor, std::uint64_t bytes) noexcept;
    /// No copy may be in progress.
    ~FileMapping();
    FileMapping(const FileMapping&) = delete;
    FileMapping& operator=(const FileMapping&) = delete;

    std::uint64_t bytes() const noexcept { return bytes_; }
    /// Whether the memory no longer shows the file. This is permanent.
    bool is_lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
    /// Copies from [at, at + to.size()), which lies inside the mapping. Returns false if the caller
    /// must read the file instead. Any thread; waits for the disk if a page is not in memory.
    bool copy(std::uint64_t at, std::span<std::byte> to) noexcept;

private:
    friend struct BusErrorHandler;
    FileMapping(std::byte* memory, std::size_t bytes) noexcept : memory_(memory), bytes_(bytes) {}
    bool contains(const void* address) const noexcept;
    /// Replaces the file by zeroes, so that copies in progress end. For the signal handler.
    bool lose() noexcept;

    std::byte* const memory_;
    const std::size_t bytes_;
    std::atomic<bool> lost_{false};
};

}  // namespace qed
