// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/aligned_buffer.hpp"
#include "coro/range_lock.hpp"
#include "io/posix/descriptor_access.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// Accepts any request for a file that accepts aligned requests only: a file open with O_DIRECT, an
/// NBD export with a minimum block size. Unaligned requests are copied through aligned memory. A
/// write that covers a part of a block reads the block first, and excludes other changes of the
/// block meanwhile.
class DirectFile final : public BlockFile {
public:
    explicit DirectFile(std::unique_ptr<BlockFile> raw) noexcept : raw_(std::move(raw)) {}

    bool start(IoOp& op) noexcept override;
    Result<std::uint64_t> size() noexcept override { return raw_->size(); }
    Alignment alignment() const noexcept override { return raw_->alignment(); }
    StorageTraits traits() const noexcept override { return raw_->traits(); }
    bool is_read_only() const noexcept override { return raw_->is_read_only(); }
    std::string_view name() const noexcept override { return raw_->name(); }
    Result<DataRange> next_data(std::uint64_t at) noexcept override { return raw_->next_data(at); }
    std::optional<FileIdentity> identity() const noexcept override { return raw_->identity(); }
    Result<void> lock(LockRole role) override { return raw_->lock(role); }
    Result<bool> clone_range(BlockFile& source, FileOffset at, std::uint64_t length,
                             FileOffset to) override {
        return raw_->clone_range(source, at, length, to);
    }
    void start_writeback() noexcept override { raw_->start_writeback(); }
    Result<std::uint64_t> allocated_bytes() noexcept override { return raw_->allocated_bytes(); }

private:
    int descriptor() const noexcept override { return DescriptorAccess::of(*raw_); }
    class Request;
    struct Piece;

    bool is_aligned(IoOp& op) const noexcept;
    /// Any request that must be ordered with others or copied.
    Request run(IoOp& op);
    Task<Result<void>> read_copied(IoOp& op);
    Task<Result<void>> write_copied(IoOp& op);
    Task<Result<void>> write_piece(IoOp& op, Piece piece, std::span<std::byte> blocks);
    Task<Result<void>> fill_edges(Piece piece, std::span<std::byte> blocks);
    Result<AlignedBuffer> copy_buffer(const IoOp& op) const noexcept;
    Piece next_piece(const IoOp& op) const noexcept;

    std::unique_ptr<BlockFile> raw_;
    RangeLock changes_;
};

}  // namespace qed
