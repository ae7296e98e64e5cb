// SPDX-License-Identifier: Apache-2.0
#include "io/transfer.hpp"

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.hpp"
#include "base/math.hpp"

namespace qed {

namespace {

/// Calls `visit(pointer, bytes)` for each piece of the next `bytes` bytes, and skips them.
template <class Visit>
void consume(IoOp& op, std::uint64_t bytes, Visit visit) noexcept {
    iovec* buffer = op.vector();
    while (bytes > 0) {
        const std::size_t piece = std::min<std::uint64_t>(bytes, buffer->iov_len);
        auto* start = static_cast<std::byte*>(buffer->iov_base);
        if (piece > 0) visit(start, piece);
        buffer->iov_base = start + piece;
        buffer->iov_len -= piece;
        bytes -= piece;
        if (buffer->iov_len == 0 && op.buffer_count > 1) {
            ++buffer;
            --op.buffer_count;
        } else {
            QED_ASSERT(bytes == 0);
        }
    }
    if (op.buffers != nullptr) op.buffers = buffer;
}

}  // namespace

void skip_buffers(IoOp& op, std::uint64_t bytes) noexcept {
    consume(op, bytes, [](std::byte*, std::size_t) {});
}

void scatter(IoOp& op, std::span<const std::byte> bytes) noexcept {
    consume(op, bytes.size(), [&bytes](std::byte* to, std::size_t count) {
        std::memcpy(to, bytes.data(), count);
        bytes = bytes.subspan(count);
    });
}

void gather(IoOp& op, std::span<std::byte> bytes) noexcept {
    consume(op, bytes.size(), [&bytes](const std::byte* from, std::size_t count) {
        std::memcpy(bytes.data(), from, count);
        bytes = bytes.subspan(count);
    });
}

bool account(IoOp& op, std::int64_t answer, std::uint32_t block,
             std::uint64_t known_bytes) noexcept {
    if (answer == -EINTR) return false;
    if (answer < 0) {
        op.error = static_cast<int>(-answer);
        return true;
    }
    const std::uint64_t left = op.length - op.progress;
    auto moved = static_cast<std::uint64_t>(answer);
    QED_ASSERT(moved <= left);
    const bool is_file_end = moved < left && (moved == 0 || moved % block != 0);
    if (op.kind == IoKind::read && is_file_end) {
        const std::uint64_t file_end = op.offset + op.progress + moved;
        if (file_end < std::min(op.offset + op.length, known_bytes)) {
            op.ends_early = true;
            op.error = EIO;
            return true;
        }
        skip_buffers(op, moved);
        consume(op, left - moved,
                [](std::byte* at, std::size_t bytes) { std::memset(at, 0, bytes); });
        moved = left;
    } else if (moved < left) {
        moved = round_down(moved, block);
        if (moved == 0) {  // a write without progress and without an error
            op.error = EIO;
            return true;
        }
        skip_buffers(op, moved);
    }
    op.progress += moved;
    return op.progress == op.length;
}

unsigned buffers_per_call(const IoOp& op) noexcept {
    return std::min<unsigned>(op.buffer_count, IOV_MAX);
}

}  // namespace qed
