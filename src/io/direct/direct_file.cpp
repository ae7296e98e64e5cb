// SPDX-License-Identifier: Apache-2.0
#include "io/direct/direct_file.hpp"

#include <algorithm>
#include <cerrno>
#include <coroutine>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

#include "base/assert.hpp"
#include "base/math.hpp"
#include "io/transfer.hpp"

namespace qed {

namespace {

constexpr std::uint64_t kFileEnd = std::numeric_limits<std::uint64_t>::max();
/// The size of the copy buffer; longer requests take several steps.
constexpr std::size_t kCopyBytes = std::size_t{1} << 20;

}  // namespace

/// The coroutine that runs one request. It either ends before start() returns, or completes the
/// request itself and destroys itself.
class DirectFile::Request {
public:
    struct promise_type : detail::PooledFrame {
        Executor* home = nullptr;
        IoOp& op;
        bool done = false;
        bool is_pending = false;

        promise_type(DirectFile&, IoOp& request) noexcept : op(request) {}
        Request get_return_object() noexcept {
            return Request(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        static Request get_return_object_on_allocation_failure() noexcept { return Request({}); }

        struct FinalAwaiter {
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> handle) const noexcept {
                promise_type& self = handle.promise();
                self.done = true;
                if (!self.is_pending) return;
                IoOp& finished = self.op;
                handle.destroy();
                finished.complete();
            }
            void await_resume() const noexcept {}
        };
        std::suspend_always initial_suspend() const noexcept { return {}; }
        FinalAwaiter final_suspend() const noexcept { return {}; }
        void return_value(Result<void> result) noexcept {
            op.error = result ? 0 : result.error().sys_errno();
        }
        void unhandled_exception() const noexcept { std::abort(); }
    };

    /// Like BlockFile::start().
    bool start(IoOp& op) noexcept {
        if (!handle_) {
            op.error = ENOMEM;
            return false;
        }
        promise_type& promise = handle_.promise();
        BlockingExecutor blocking;
        promise.home = op.waiter.home != nullptr ? op.waiter.home : &blocking;
        handle_.resume();
        if (op.waiter.home == nullptr) {
            blocking.run_until(promise.done);
        }
        if (promise.done) {
            handle_.destroy();
            return false;
        }
        promise.is_pending = true;
        return true;
    }

private:
    explicit Request(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
};

/// The part of a request that goes through the copy buffer in one step.
struct DirectFile::Piece {
    std::uint64_t begin = 0;  ///< the requested bytes
    std::uint64_t end = 0;
    std::uint64_t first = 0;  ///< the whole blocks that contain them
    std::uint64_t last = 0;

    bool has_head() const noexcept { return begin != first; }
    bool has_tail() const noexcept { return end != last; }
};

bool DirectFile::start(IoOp& op) noexcept {
    const bool changes = op.kind != IoKind::read && op.kind != IoKind::flush;
    if (changes ? is_read_only() : is_aligned(op)) return raw_->start(op);
    constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max() - kCopyBytes;
    const auto end = checked_add(op.offset, op.length);
    if (!end || *end > kLimit) {
        op.error = EINVAL;
        return false;
    }
    return run(op).start(op);
}

bool DirectFile::is_aligned(IoOp& op) const noexcept {
    const Alignment unit = alignment();
    if ((op.offset | op.length) % unit.offset != 0) return false;
    const std::span buffers(op.vector(), op.buffer_count);
    return std::ranges::all_of(buffers, [unit](const iovec& buffer) {
        return reinterpret_cast<std::uintptr_t>(buffer.iov_base) % unit.memory == 0 &&
               buffer.iov_len % unit.offset == 0;
    });
}

DirectFile::Request DirectFile::run(IoOp& op) {
    if (op.kind == IoKind::read || (op.kind == IoKind::write && !is_aligned(op))) {
        Task<Result<void>> copying = op.kind == IoKind::read ? read_copied(op) : write_copied(op);
        Result<void> copied = co_await copying;
        co_return copied;
    }
    // A new length affects all bytes after it, so it must not overtake changes there.
    const bool is_truncate = op.kind == IoKind::truncate;
    const std::uint64_t begin = is_truncate ? round_down(op.offset, alignment().offset) : op.offset;
    const std::uint64_t end = is_truncate ? kFileEnd : op.offset + op.length;
    const auto mode = is_truncate ? RangeLock::Mode::exclusive : RangeLock::Mode::shared;
    RangeLock::Claim claim(changes_, begin, end, mode);
    co_await claim;
    IoOp forward = op;
    forward.file = raw_.get();
    forward.batch = nullptr;
    Result<void> done = co_await forward;
    co_return done;
}

DirectFile::Piece DirectFile::next_piece(const IoOp& op) const noexcept {
    const std::uint64_t block = alignment().offset;
    Piece piece;
    piece.begin = op.offset + op.progress;
    piece.first = round_down(piece.begin, block);
    piece.end = std::min(op.offset + op.length, piece.first + std::max(kCopyBytes, block));
    piece.last = round_up(piece.end, block);
    return piece;
}

Result<AlignedBuffer> DirectFile::copy_buffer(const IoOp& op) const noexcept {
    const Alignment unit = alignment();
    const std::uint64_t blocks = op.length + std::uint64_t{2} * unit.offset;
    const std::uint64_t bytes = std::max<std::uint64_t>(kCopyBytes, unit.offset);
    return AlignedBuffer::create(round_down(std::min(blocks, bytes), unit.offset),
                                 std::max(unit.memory, unit.offset));
}

Task<Result<void>> DirectFile::read_copied(IoOp& op) {
    Result<AlignedBuffer> buffer = copy_buffer(op);
    if (!buffer) co_return pass(buffer);
    while (op.progress < op.length) {
        const Piece piece = next_piece(op);
        const auto blocks = buffer->span().first(piece.last - piece.first);
        IoOp reading = raw_->read(FileOffset{piece.first}, blocks);
        Result<void> done = co_await reading;
        op.ends_early = reading.ends_early;
        if (!done) co_return done;
        scatter(op, blocks.subspan(piece.begin - piece.first, piece.end - piece.begin));
        op.progress += piece.end - piece.begin;
    }
    co_return {};
}

Task<Result<void>> DirectFile::write_copied(IoOp& op) {
    Result<AlignedBuffer> buffer = copy_buffer(op);
    if (!buffer) co_return pass(buffer);
    while (op.progress < op.length) {
        const Piece piece = next_piece(op);
        Task<Result<void>> writing =
            write_piece(op, piece, buffer->span().first(piece.last - piece.first));
        QED_CO_CHECK(co_await writing);
        op.progress += piece.end - piece.begin;
    }
    co_return {};
}

Task<Result<void>> DirectFile::write_piece(IoOp& op, Piece piece, std::span<std::byte> blocks) {
    const bool merges = piece.has_head() || piece.has_tail();
    const auto mode = merges ? RangeLock::Mode::exclusive : RangeLock::Mode::shared;
    std::uint64_t claimed_end = piece.last;
    while (true) {
        RangeLock::Claim claim(changes_, piece.first, claimed_end, mode);
        co_await claim;
        Result<std::uint64_t> file_bytes = size();
        if (!file_bytes) co_return pass(file_bytes);
        // The rest of the last block makes the file longer than requested. The rest is truncated
        // again, and no other request may extend the file in between.
        const bool pads = piece.has_tail() && piece.last > *file_bytes;
        if (pads && claimed_end != kFileEnd) {
            claimed_end = kFileEnd;
            continue;
        }
        Task<Result<void>> filling = fill_edges(piece, blocks);
        QED_CO_CHECK(co_await filling);
        gather(op, blocks.subspan(piece.begin - piece.first, piece.end - piece.begin));
        IoOp writing = raw_->write(FileOffset{piece.first}, blocks);
        QED_CO_CHECK(co_await writing);
        if (pads) {
            IoOp cutting = raw_->truncate(std::max(*file_bytes, piece.end));
            QED_CO_CHECK(co_await cutting);
        }
        co_return {};
    }
}

Task<Result<void>> DirectFile::fill_edges(Piece piece, std::span<std::byte> blocks) {
    const std::size_t block = alignment().offset;
    if (piece.has_head()) {
        IoOp reading = raw_->read(FileOffset{piece.first}, blocks.first(block));
        QED_CO_CHECK(co_await reading);
    }
    const bool is_read_already = piece.has_head() && blocks.size() == block;
    if (piece.has_tail() && !is_read_already) {
        IoOp reading = raw_->read(FileOffset{piece.last - block}, blocks.last(block));
        QED_CO_CHECK(co_await reading);
    }
    co_return {};
}

}  // namespace qed
