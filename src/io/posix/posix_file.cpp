// SPDX-License-Identifier: Apache-2.0
#include "io/posix/posix_file.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/math.hpp"
#include "base/no_throw.hpp"
#include "io/posix/descriptor_access.hpp"
#include "io/posix/device_size.hpp"
#include "io/posix/file_lock.hpp"
#include "io/transfer.hpp"

namespace qed {
namespace {

// With a list of buffers the kernel takes a fifteenth longer to read 4 KiB than with a single one.

std::int64_t read_once(int descriptor, const iovec* to, unsigned count, off_t at) noexcept {
    const ssize_t moved = count == 1 ? ::pread(descriptor, to->iov_base, to->iov_len, at)
                                     : ::preadv(descriptor, to, static_cast<int>(count), at);
    return moved < 0 ? std::int64_t{-errno} : std::int64_t{moved};
}

std::int64_t write_once(int descriptor, const iovec* from, unsigned count, off_t at) noexcept {
    const ssize_t moved = count == 1 ? ::pwrite(descriptor, from->iov_base, from->iov_len, at)
                                     : ::pwritev(descriptor, from, static_cast<int>(count), at);
    return moved < 0 ? std::int64_t{-errno} : std::int64_t{moved};
}

}  // namespace

PosixFile::PosixFile(int descriptor, std::string name, const FileTraits& traits) noexcept
    : traits_(traits), name_(std::move(name)), process_(::getpid()) {
    state_.descriptor = descriptor;
    state_.block = traits.alignment.offset;
    state_.has_length = traits.device_block == 0;
    state_.can_punch.store(traits.writable, std::memory_order_relaxed);
    state_.can_reserve.store(traits.writable && state_.has_length, std::memory_order_relaxed);
    state_.known_bytes.store(traits.bytes, std::memory_order_relaxed);
}

PosixFile::~PosixFile() {
    // A ring may keep the file and its locks open for a moment after its last request, so release
    // the locks. A child process leaves the locks to the process that opened the file.
    if (::getpid() == process_) FileLock::release(state_.descriptor);
    ::close(state_.descriptor);
}

bool PosixFile::start(IoOp& op) noexcept {
    if (is_done_early(op)) return false;
    IoLoop* loop = op.waiter.home != nullptr ? op.waiter.home->io_loop() : nullptr;
    if (loop == nullptr) {
        run(op);
        return false;
    }
    if (starts_inline(op)) {
        run(op);
        return loop->take_turn(op);
    }
    if (op.kind == IoKind::read && traits_.reads_nowait && loop->tries_inline_reads() &&
        read_nowait(op)) {
        return loop->take_turn(op);
    }
    loop->submit(op, state_);
    return true;
}

bool PosixFile::is_done_early(IoOp& op) noexcept {
    if (op.kind == IoKind::flush) return traits_.ignore_flush;
    if (op.kind != IoKind::read && !traits_.writable) {
        op.error = EROFS;
        return true;
    }
    constexpr std::uint64_t kLimit = std::numeric_limits<off_t>::max();
    const auto end = checked_add(op.offset, op.length);
    if (!end || *end > kLimit) {
        op.error = EINVAL;
        return true;
    }
    if (op.kind == IoKind::truncate) return false;
    if (op.kind == IoKind::punch && is_device() &&
        (op.offset | op.length) % traits_.device_block != 0) {
        op.error = EOPNOTSUPP;  // devices discard whole blocks; the caller writes zeroes instead
        return true;
    }
    return op.length == 0;
}

bool PosixFile::starts_inline(const IoOp& op) const noexcept {
    switch (op.kind) {
        case IoKind::read:
            return traits_.reads_from_memory;
        case IoKind::write:
            return traits_.writes_inline;
        case IoKind::truncate:
            return true;
        case IoKind::allocate:
            return is_device();
        case IoKind::flush:
        case IoKind::punch:
            return false;
    }
    return true;
}

bool PosixFile::read_nowait(IoOp& op) noexcept {
    while (true) {
        const auto at = static_cast<off_t>(op.offset + op.progress);
        const ssize_t moved = ::preadv2(state_.descriptor, op.vector(),
                                        static_cast<int>(buffers_per_call(op)), at, RWF_NOWAIT);
        // The read would wait, or is not possible; in both cases the ring runs it.
        if (moved < 0) return false;
        if (state_.account(op, moved)) return true;
    }
}

void PosixFile::run(IoOp& op) noexcept {
    if (op.kind == IoKind::read || op.kind == IoKind::write) {
        transfer(op);
        return;
    }
    const auto attempt = [this, &op] {
        switch (op.kind) {
            case IoKind::flush:
                return ::fdatasync(state_.descriptor) == 0 ? 0 : -errno;
            case IoKind::truncate:
                return set_length(op.offset);
            case IoKind::punch:
            case IoKind::allocate:
                return reserve(op);
            case IoKind::read:
            case IoKind::write:
                break;
        }
        return -EINVAL;
    };
    while (!state_.settle(op, attempt())) {
    }
}

void PosixFile::transfer(IoOp& op) noexcept {
    const int descriptor = state_.descriptor;
    if (op.kind == IoKind::read) {
        transfer_all(op, state_, [=](const iovec* to, unsigned count, std::uint64_t offset) {
            return read_once(descriptor, to, count, static_cast<off_t>(offset));
        });
    } else {
        transfer_all(op, state_, [=](const iovec* from, unsigned count, std::uint64_t offset) {
            return write_once(descriptor, from, count, static_cast<off_t>(offset));
        });
    }
}

int PosixFile::set_length(std::uint64_t bytes) noexcept {
    if (!is_device()) {
        const std::uint64_t known = state_.known_bytes.load(std::memory_order_relaxed);
        struct stat status{};
        // A hole would take the place of what another process has cut off.
        if (bytes > known && ::fstat(state_.descriptor, &status) == 0 &&
            static_cast<std::uint64_t>(status.st_size) < known) {
            return -EIO;
        }
        // Before the file is shorter: a read that meets its end must not take it for a loss.
        if (bytes < known) state_.known_bytes.store(bytes, std::memory_order_release);
        return ::ftruncate(state_.descriptor, static_cast<off_t>(bytes)) == 0 ? 0 : -errno;
    }
    // A device keeps its size; a length that fits is accepted.
    std::uint64_t has = 0;
    if (const int failure = device_size(state_.descriptor, has); failure != 0) return -failure;
    return bytes <= has ? 0 : -ENOSPC;
}

int PosixFile::reserve(const IoOp& op) noexcept {
    const bool is_punch = op.kind == IoKind::punch;
    if (is_device() && !is_punch) {  // the space of a device is always allocated
        return set_length(op.offset + op.length);
    }
    const int mode = is_punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
    const int answer = ::fallocate(state_.descriptor, mode, static_cast<off_t>(op.offset),
                                   static_cast<off_t>(op.length));
    return answer == 0 ? 0 : -errno;
}

Result<std::uint64_t> PosixFile::size() noexcept {
    std::uint64_t bytes = 0;
    int failure = 0;
    if (is_device()) {
        failure = device_size(state_.descriptor, bytes);
    } else {
        struct stat status{};
        if (::fstat(state_.descriptor, &status) != 0) failure = errno;
        bytes = static_cast<std::uint64_t>(status.st_size);
    }
    if (failure == 0) return bytes;
    try {
        return std::unexpected(Error::from_errno(
            failure,
            fmt::format("{}: cannot get the length: {}", name_, strerrordesc_np(failure))));
    } catch (const std::bad_alloc&) {
        return std::unexpected(Error::out_of_memory());
    }
}

Result<BlockFile::DataRange> PosixFile::next_data(std::uint64_t at) noexcept {
    if (at > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
        return BlockFile::next_data(at);
    }
    const off_t begin = ::lseek(state_.descriptor, static_cast<off_t>(at), SEEK_DATA);
    if (begin < 0 && errno == ENXIO) {  // only holes up to the end of the file
        Result<std::uint64_t> bytes = size();
        if (!bytes) return pass(bytes);
        return DataRange{*bytes, *bytes};
    }
    if (begin < 0) return BlockFile::next_data(at);
    const off_t end = ::lseek(state_.descriptor, begin, SEEK_HOLE);
    if (end <= begin) return BlockFile::next_data(static_cast<std::uint64_t>(begin));
    return DataRange{static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end)};
}

Result<void> PosixFile::lock(LockRole role) {
    return without_throwing([&] { return FileLock::acquire(state_.descriptor, role, name_); });
}

Result<bool> PosixFile::clone_range(BlockFile& source, FileOffset at, std::uint64_t length,
                                    FileOffset to) {
    const int from = DescriptorAccess::of(source);
    if (from < 0) return false;
    file_clone_range range{};
    range.src_fd = from;
    range.src_offset = at.value;
    range.src_length = length;
    range.dest_offset = to.value;
    if (::ioctl(state_.descriptor, FICLONERANGE, &range) == 0) return true;
    const int error = errno;
    switch (error) {
        case EOPNOTSUPP:
        case ENOTTY:
        case EXDEV:
        case EINVAL:
        case EISDIR:
        case EPERM:
        case ETXTBSY:
        case ENOSYS:
            return false;
        default:
            return std::unexpected(Error::from_errno(
                error, fmt::format("sharing {} bytes at {:#x} of {} with {}: {}", length, at.value,
                                   source.name(), name_, strerrordesc_np(error))));
    }
}

void PosixFile::start_writeback() noexcept {
    ::sync_file_range(state_.descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
}

Result<std::uint64_t> PosixFile::allocated_bytes() noexcept {
    struct stat status{};
    if (::fstat(state_.descriptor, &status) == 0) {
        return static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    const int error = errno;
    return without_throwing([&]() -> Result<std::uint64_t> {
        return std::unexpected(Error::from_errno(
            error, fmt::format("{}: cannot get its state: {}", name_, strerrordesc_np(error))));
    });
}

}  // namespace qed
