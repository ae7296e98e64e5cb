// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/block_file.hpp"

namespace qed {

/// The most bytes that Linux transfers in one call; a longer request is short.
inline constexpr std::size_t kMaxTransferBytes = 0x7ffff000;

/// Advances the start of a request's buffers by `bytes`.
void skip_buffers(IoOp& op, std::uint64_t bytes) noexcept;
/// Copies into or out of the next `bytes.size()` bytes of a request's buffers, and skips them.
void scatter(IoOp& op, std::span<const std::byte> bytes) noexcept;
void gather(IoOp& op, std::span<std::byte> bytes) noexcept;

/// Handles the system's result (bytes transferred or a negative errno) for the rest of a read or
/// write.
///
/// True: the request has finished, with op.error set on failure. False: transfer the rest.
/// \param block  the file's unit of transfers: a result that is not a multiple of it is the end of
///         the file, and a transfer continues at a multiple
/// \param known_bytes  a file that ends before this has been truncated by another process: EIO
bool account(IoOp& op, std::int64_t answer, std::uint32_t block,
             std::uint64_t known_bytes = 0) noexcept;

/// The number of a request's buffers that fit one call.
unsigned buffers_per_call(const IoOp& op) noexcept;

/// Runs a read or write to its end.
/// \param state  its account() takes the answers
/// \param once  `std::int64_t(const iovec*, unsigned count, std::uint64_t offset)`: one attempt
template <class State, class Once>
void transfer_all(IoOp& op, const State& state, Once&& once) {
    if (op.length == 0) return;
    while (!state.account(op, once(op.vector(), buffers_per_call(op), op.offset + op.progress))) {
    }
}

}  // namespace qed
