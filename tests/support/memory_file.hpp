// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "qed/block_file.hpp"

namespace qed::test {

/// A change that was made to a MemoryFile.
struct FileChange {
    IoKind kind = IoKind::flush;  ///< write, flush, truncate or punch
    std::uint64_t offset = 0;     ///< for truncate the new length
    std::uint64_t length = 0;
    std::vector<std::byte> data;  ///< for write
};

/// A sparse file in memory with injected failures. Requests complete at once, on the calling
/// thread; any number of threads may use it.
class MemoryFile final : public BlockFile {
public:
    explicit MemoryFile(std::uint64_t bytes = 0) : bytes_(bytes) {}
    /// Copies the content and length. The copy has no faults, no history, and counts from 0.
    MemoryFile(const MemoryFile& other);

    bool start(IoOp& op) noexcept override;
    Result<std::uint64_t> size() noexcept override;
    StorageTraits traits() const noexcept override {
        return {.can_punch = true, .can_reserve = can_reserve};
    }
    bool is_read_only() const noexcept override { return read_only; }
    std::string_view name() const noexcept override { return "memory.qed"; }
    Result<DataRange> next_data(std::uint64_t at) noexcept override;

    // Direct access for the test: never fails and is not counted.
    std::vector<std::byte> load(std::uint64_t at, std::uint64_t bytes) const;
    void store(std::uint64_t at, std::span<const std::byte> data);
    std::uint64_t load_u64(std::uint64_t at) const;
    void store_u64(std::uint64_t at, std::uint64_t value);
    void fill(std::uint64_t at, std::uint64_t bytes, std::byte value);
    void resize(std::uint64_t bytes);
    std::uint64_t bytes() const { return bytes_; }
    /// Whether the range is a hole.
    bool is_hole(std::uint64_t at, std::uint64_t bytes) const {
        const auto page = pages_.lower_bound(at / kPageBytes);
        return page == pages_.end() || page->first * kPageBytes >= at + bytes;
    }
    /// Bytes of memory for the content: the space that the sparse file would take on a disk.
    std::uint64_t stored_bytes() const { return pages_.size() * kPageBytes; }
    /// Repeats a change, as if it reached the disk before a power cut.
    void apply(const FileChange& change);
    friend bool operator==(const MemoryFile& a, const MemoryFile& b);

    /// The failing request, counted from 1 since `requests` was set to 0.
    struct Fault {
        std::uint64_t nth = 0;
        int error = EIO;
        bool sticky = false;              ///< all later ones fail too
        std::optional<IoKind> only = {};  ///< count and fail only this kind
        bool tears = false;  ///< a failing write still writes the first half of its sectors
    };
    std::optional<Fault> fault;
    /// Reads that touch this range fail with EIO.
    std::optional<DataRange> unreadable;
    bool read_only = false;
    /// A request that would make the file longer fails with ENOSPC.
    std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max();
    bool can_reserve = false;
    /// The file system is full when so many more bytes were written or reserved in holes.
    std::optional<std::uint64_t> space_left;
    std::uint64_t requests = 0;  ///< requests started; only of the fault's kind if it names one
    std::uint64_t bytes_read = 0;
    /// When set, every change that succeeds is also appended here.
    std::vector<FileChange>* history = nullptr;

private:
    static constexpr std::uint64_t kPageBytes = 4096;
    using Page = std::array<std::byte, kPageBytes>;

    bool is_failing(const IoOp& op);
    bool is_too_long(const IoOp& op) const;
    int run(IoOp& op);
    bool take_space(const IoOp& op);
    void read_into(std::uint64_t at, std::span<std::byte> out) const;
    void erase(std::uint64_t begin, std::uint64_t end);
    void remember(IoKind kind, std::uint64_t offset, std::uint64_t length,
                  std::span<const std::byte> data);

    mutable std::mutex mutex_;  // guards everything during requests
    std::uint64_t bytes_;
    std::map<std::uint64_t, Page> pages_;  // by page number; missing ones are holes
};

}  // namespace qed::test
