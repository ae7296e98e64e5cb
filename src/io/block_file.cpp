// SPDX-License-Identifier: Apache-2.0
#include "qed/block_file.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/trace.hpp"

namespace qed {

static_assert(std::is_trivially_destructible_v<IoOp>, "g++ 12 destroys await temporaries twice");
static_assert(std::is_trivially_destructible_v<IoBatch>);

namespace {

std::string describe(const IoOp& op) {
    const auto name = op.file->name();
    switch (op.kind) {
        case IoKind::read:
            return fmt::format("{}: cannot read {} bytes at {:#x}", name, op.length, op.offset);
        case IoKind::write:
            return fmt::format("{}: cannot write {} bytes at {:#x}", name, op.length, op.offset);
        case IoKind::flush:
            return fmt::format("{}: cannot flush", name);
        case IoKind::truncate:
            return fmt::format("{}: cannot set the length to {} bytes", name, op.offset);
        case IoKind::punch:
            return fmt::format("{}: cannot punch a hole of {} bytes at {:#x}", name, op.length,
                               op.offset);
        case IoKind::allocate:
            return fmt::format("{}: cannot reserve {} bytes at {:#x}", name, op.length, op.offset);
    }
    return std::string(name);
}

}  // namespace

bool IoOp::begin() noexcept {
    error = 0;
    ends_early = false;
    progress = 0;
    QED_TRACE(io_start, this, static_cast<int>(kind), offset, length);
    const bool pending = file->start(*this);
    if (!pending) QED_TRACE(io_done, this, error);
    return pending;
}

void IoOp::complete() noexcept {
    QED_TRACE(io_done, this, error);
    if (batch == nullptr) {
        waiter.handle.resume();
    } else if (batch->end_one()) {
        batch->handle.resume();
    }
}

void IoOp::complete_from_any_thread() noexcept {
    QED_TRACE(io_done, this, error);
    QED_ASSERT(waiter.home != nullptr);
    if (batch == nullptr || batch->end_one()) waiter.wake();
}

Result<void> IoOp::run_blocking() noexcept {
    waiter.home = nullptr;
    const bool pending = begin();
    QED_ASSERT(!pending);
    return outcome();
}

Result<void> IoOp::outcome() noexcept {
    if (error == 0) return {};
    try {
        if (ends_early) {
            return std::unexpected(Error::from_errno(
                error, fmt::format("{}: the file is shorter than it was; another process has "
                                   "truncated it",
                                   describe(*this))));
        }
        return std::unexpected(Error::from_errno(
            error, fmt::format("{}: {}", describe(*this), strerrordesc_np(error))));
    } catch (const std::bad_alloc&) {
        return std::unexpected(Error::out_of_memory());
    }
}

Result<void> IoBatch::await_resume() noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        if (ops[i].error != 0) return ops[i].outcome();
    }
    return {};
}

Result<void> BlockFile::lock(LockRole) {
    return {};
}

Result<bool> BlockFile::clone_range(BlockFile&, FileOffset, std::uint64_t, FileOffset) {
    return false;
}

Result<BlockFile::DataRange> BlockFile::next_data(std::uint64_t at) noexcept {
    Result<std::uint64_t> bytes = size();
    if (!bytes) return pass(bytes);
    return DataRange{std::min(at, *bytes), *bytes};
}

IoOp BlockFile::make(IoKind kind, std::uint64_t offset, std::uint64_t length) noexcept {
    IoOp op;
    op.file = this;
    op.kind = kind;
    op.offset = offset;
    op.length = length;
    return op;
}

IoOp BlockFile::read(FileOffset at, std::span<std::byte> buffer) noexcept {
    IoOp op = make(IoKind::read, at.value, buffer.size());
    op.single = {buffer.data(), buffer.size()};
    op.buffer_count = 1;
    return op;
}

IoOp BlockFile::write(FileOffset at, std::span<const std::byte> buffer) noexcept {
    IoOp op = make(IoKind::write, at.value, buffer.size());
    op.single = {const_cast<std::byte*>(buffer.data()), buffer.size()};  // iovec knows no const
    op.buffer_count = 1;
    return op;
}

namespace {

std::uint64_t bytes_of(std::span<const iovec> buffers) noexcept {
    std::uint64_t bytes = 0;
    for (const iovec& buffer : buffers)
        bytes += buffer.iov_len;
    return bytes;
}

}  // namespace

IoOp BlockFile::readv(FileOffset at, std::span<iovec> buffers) noexcept {
    IoOp op = make(IoKind::read, at.value, bytes_of(buffers));
    op.buffers = buffers.data();
    op.buffer_count = static_cast<unsigned>(buffers.size());
    return op;
}

IoOp BlockFile::writev(FileOffset at, std::span<iovec> buffers) noexcept {
    IoOp op = readv(at, buffers);
    op.kind = IoKind::write;
    return op;
}

IoOp BlockFile::flush() noexcept {
    return make(IoKind::flush, 0, 0);
}
IoOp BlockFile::truncate(std::uint64_t bytes) noexcept {
    return make(IoKind::truncate, bytes, 0);
}
IoOp BlockFile::punch(FileOffset at, std::uint64_t bytes) noexcept {
    return make(IoKind::punch, at.value, bytes);
}
IoOp BlockFile::allocate(FileOffset at, std::uint64_t bytes) noexcept {
    return make(IoKind::allocate, at.value, bytes);
}

}  // namespace qed
