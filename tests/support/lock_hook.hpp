// SPDX-License-Identifier: Apache-2.0
#pragma once

// Replaces fcntl() of a program, so that its tests can do something at the moment between the
// opening of a file and its lock, or make locks fail. Include this in one source file of the
// program.

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <functional>

namespace qed::test {

/// Called with the descriptor before a lock is taken on its first byte.
inline std::function<void(int descriptor)> before_lock;
/// If this is not 0, locks fail with it.
inline int lock_errno = 0;

inline int hooked_fcntl(int descriptor, int command, void* argument) {
    if (command == F_OFD_SETLK || command == F_OFD_GETLK) {
        if (lock_errno != 0) {
            errno = lock_errno;
            return -1;
        }
        const auto* range = static_cast<const struct flock*>(argument);
        // The first byte of each role, see docs/format.md.
        const bool begins =
            range->l_type == F_RDLCK && (range->l_start == 100 || range->l_start == 101);
        if (command == F_OFD_SETLK && begins && before_lock) before_lock(descriptor);
    }
    return static_cast<int>(::syscall(SYS_fcntl, descriptor, command, argument));
}

}  // namespace qed::test

// The names of fcntl() with and without large files.
extern "C" [[gnu::visibility("default")]] int fcntl(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    return qed::test::hooked_fcntl(descriptor, command, argument);
}
extern "C" [[gnu::visibility("default")]] int fcntl64(int descriptor, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    return qed::test::hooked_fcntl(descriptor, command, argument);
}
