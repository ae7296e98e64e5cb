// SPDX-License-Identifier: Apache-2.0
#include "io/mapped/mapped_file.hpp"

#include <span>

namespace qed {

bool MappedFile::start(IoOp& op) noexcept {
    // A page that is not in memory stops the thread until the disk has read it. That is acceptable
    // for a caller that waits anyway; on a loop it would stop all other requests.
    const bool may_wait = op.waiter.home == nullptr || op.waiter.home->io_loop() == nullptr;
    if (may_wait && copy(op)) return false;
    return raw_->start(op);
}

bool MappedFile::copy(const IoOp& op) noexcept {
    const std::uint64_t end = mapping_->bytes();
    if (op.kind != IoKind::read || op.offset > end || op.length > end - op.offset) return false;
    const iovec* buffers = op.buffers != nullptr ? op.buffers : &op.single;
    std::uint64_t at = op.offset;
    for (const iovec& buffer : std::span(buffers, op.buffer_count)) {
        const std::span to(static_cast<std::byte*>(buffer.iov_base), buffer.iov_len);
        if (!mapping_->copy(at, to)) return false;
        at += to.size();
    }
    return true;
}

}  // namespace qed
