// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace qed {

/// A file in memory, to be read. When a page of it cannot be read any more, because somebody
/// has truncated the file or the disk fails, copies say so, and the process lives on.
///
/// The kernel tells by SIGBUS. The first mapping puts a handler in place, which stays: it takes the
/// signals of copies that this class makes, and hands all others to the handler that was there
/// before. See docs/adr/0013-mapped-reads.md.
class FileMapping {
public:
    /// Null where there is nothing to map, no room for it in the address space, or somebody else's
    /// handler of SIGBUS in the place of ours: the file is then read by system calls.
    static std::unique_ptr<FileMapping> create(int descriptor, std::uint64_t bytes) noexcept;
    /// No copy is under way.
    ~FileMapping();
    FileMapping(const FileMapping&) = delete;
    FileMapping& operator=(const FileMapping&) = delete;

    std::uint64_t bytes() const noexcept { return bytes_; }
    /// Whether the memory no longer is the file's. It never is again.
    bool is_lost() const noexcept { return lost_.load(std::memory_order_relaxed); }
    /// Copies from [at, at + to.size()), which lies inside the mapping. False: `to` is unspecified,
    /// and the file has to be asked. Any thread; waits for the disk where a page is not in memory.
    bool copy(std::uint64_t at, std::span<std::byte> to) noexcept;

private:
    friend struct BusErrorHandler;
    FileMapping(std::byte* memory, std::size_t bytes) noexcept : memory_(memory), bytes_(bytes) {}
    bool contains(const void* address) const noexcept;
    /// Puts zeroes in the place of the file, so that copies under way end. For the signal handler.
    bool lose() noexcept;

    std::byte* const memory_;
    const std::size_t bytes_;
    std::atomic<bool> lost_{false};
};

}  // namespace qed
