// SPDX-License-Identifier: Apache-2.0
#include "io/posix/file_lock.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include <fmt/format.h>

namespace qed {

namespace {

// docs/format.md section 5: one byte for each permission that is in use, and one for each
// permission that is not shared with others.
constexpr off_t kReads = 100;
constexpr off_t kWrites = 101;
constexpr off_t kResizes = 103;
constexpr off_t kNoReaders = 200;
constexpr off_t kNoWriters = 201;
constexpr off_t kNoResizers = 203;

constexpr std::array<off_t, 6> kBytes = {kReads,     kWrites,    kResizes,
                                         kNoReaders, kNoWriters, kNoResizers};

constexpr off_t kWriterHolds[] = {kReads, kWrites, kResizes, kNoWriters, kNoResizers};
constexpr off_t kWriterBars[] = {kWrites, kResizes, kNoReaders, kNoWriters, kNoResizers};
constexpr off_t kReaderHolds[] = {kReads, kNoWriters, kNoResizers};
constexpr off_t kReaderBars[] = {kWrites, kResizes, kNoReaders};
constexpr off_t kSharedReaderHolds[] = {kReads};
constexpr off_t kSharedReaderBars[] = {kNoReaders};
constexpr off_t kCreatorHolds[] = {kWrites, kResizes, kNoResizers};
constexpr off_t kCreatorBars[] = {kResizes, kNoWriters, kNoResizers};

struct RoleRow {
    std::string_view purpose;      ///< "cannot lock it ..."
    std::span<const off_t> holds;  ///< bytes that this role locks
    std::span<const off_t> bars;   ///< bytes that no other program may have locked
};

RoleRow row_of(LockRole role) noexcept {
    switch (role) {
        case LockRole::none:
            break;
        case LockRole::writer:
            return {"for writing", kWriterHolds, kWriterBars};
        case LockRole::reader:
            return {"for reading", kReaderHolds, kReaderBars};
        case LockRole::shared_reader:
            return {"for shared reading", kSharedReaderHolds, kSharedReaderBars};
        case LockRole::creator:
            return {"for recreating it", kCreatorHolds, kCreatorBars};
    }
    return {};
}

std::string_view meaning_of(off_t byte) noexcept {
    switch (byte) {
        case kReads:
            return "is reading it";
        case kWrites:
            return "is writing to it";
        case kResizes:
            return "may change its length";
        case kNoReaders:
            return "permits no readers";
        case kNoWriters:
            return "is using it and permits no writers";
        case kNoResizers:
            return "is using it and permits no change of its length";
        default:
            return "has it locked";
    }
}

std::string_view advice_for(LockRole role, off_t byte) noexcept {
    if (byte == kNoReaders || byte == kReads) return "End that process first.";
    if (role == LockRole::reader) {
        return "End that process first, or look at the image while it changes with -U "
               "(--force-share).";
    }
    return "End that process first. To look at the image without changing it, -U (--force-share) "
           "ignores this.";
}

int lock_call(int descriptor, int command, struct flock& range) noexcept {
    int answer = -1;
    do {
        answer = ::fcntl(descriptor, command, &range);
    } while (answer != 0 && errno == EINTR);
    return answer == 0 ? 0 : errno;
}

struct flock one_byte(short type, off_t byte) noexcept {
    struct flock range{};  // l_pid is 0, as open file description locks require
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = byte;
    range.l_len = 1;
    return range;
}

bool means_no_locks_here(int failure) noexcept {
    return failure == ENOLCK || failure == EOPNOTSUPP || failure == ENOSYS;
}

void let_go(int descriptor, std::span<const off_t> bytes) noexcept {
    for (const off_t byte : bytes) {
        struct flock range = one_byte(F_UNLCK, byte);
        lock_call(descriptor, F_OFD_SETLK, range);
    }
}

std::unexpected<Error> conflict(std::string_view file_name, LockRole role, off_t byte) {
    return fail(
        Errc::locked,
        fmt::format("{}: cannot lock it {}: another process {} (lock byte {}). {}", file_name,
                    row_of(role).purpose, meaning_of(byte), byte, advice_for(role, byte)));
}

std::unexpected<Error> lock_failure(std::string_view file_name, int failure) {
    if (means_no_locks_here(failure)) {
        return fail(Errc::unsupported,
                    fmt::format("{}: cannot lock it: {}. Without locks another process may use the "
                                "file at the same time, and two writers destroy it. If no other "
                                "process does, --no-lock (LockMode::none) works without locks",
                                file_name, strerrordesc_np(failure)),
                    failure);
    }
    return std::unexpected(Error::from_errno(
        failure, fmt::format("{}: cannot lock it: {}", file_name, strerrordesc_np(failure))));
}

Result<void> take(int descriptor, LockRole role, std::string_view file_name) {
    for (const off_t byte : row_of(role).holds) {
        struct flock range = one_byte(F_RDLCK, byte);
        const int failure = lock_call(descriptor, F_OFD_SETLK, range);
        if (failure == EAGAIN || failure == EACCES) return conflict(file_name, role, byte);
        if (failure != 0) return lock_failure(file_name, failure);
    }
    for (const off_t byte : row_of(role).bars) {
        struct flock range = one_byte(F_WRLCK, byte);
        const int failure = lock_call(descriptor, F_OFD_GETLK, range);
        if (failure != 0) return lock_failure(file_name, failure);
        if (range.l_type != F_UNLCK) return conflict(file_name, role, byte);
    }
    return {};
}

}  // namespace

Result<void> FileLock::acquire(int descriptor, LockRole role, std::string_view file_name) {
    Result<void> taken = take(descriptor, role, file_name);
    if (!taken) {
        release(descriptor);
        return taken;
    }
    // Release bytes of an earlier role of this descriptor that this role does not need.
    const auto holds = row_of(role).holds;
    for (const off_t byte : kBytes) {
        if (std::ranges::find(holds, byte) == holds.end()) let_go(descriptor, {&byte, 1});
    }
    return taken;
}

void FileLock::release(int descriptor) noexcept {
    let_go(descriptor, kBytes);
}

}  // namespace qed
