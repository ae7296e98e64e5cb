// SPDX-License-Identifier: Apache-2.0
#include "io/posix/standard_descriptors.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/mutex.hpp"
#include "qed/files.hpp"

namespace qed {
namespace {

constexpr int kFirstFree = STDERR_FILENO + 1;

// Locked also between the test of 0, 1 and 2 and their use.
Mutex hold_mutex;
unsigned holders QED_GUARDED_BY(hold_mutex) = 0;
std::array<bool, kFirstFree> is_held QED_GUARDED_BY(hold_mutex){};

bool is_closed(int descriptor) noexcept {
    return ::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF;
}

/// Opens a harmless file on the lowest free number, or returns -1.
int open_placeholder() noexcept {
    const int opened = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    // For a process that cannot open files: an eventfd accepts numbers, and no text.
    return opened >= 0 ? opened : ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

template <class Open>
int open_checked(Open open_once) noexcept {
    const StandardDescriptorsHeld held;
    int opened = -1;
    do {
        opened = open_once();
    } while (opened < 0 && errno == EINTR);
    // No placeholder could be opened.
    return move_above_standard(opened);
}

}  // namespace

StandardDescriptorsHeld::StandardDescriptorsHeld() noexcept {
    const int error = errno;
    const ScopedLock lock(hold_mutex);
    ++holders;
    for (int number = 0; number < kFirstFree; ++number) {
        if (!is_closed(number)) continue;
        const int placeholder = open_placeholder();
        if (placeholder < 0) break;
        if (placeholder >= kFirstFree) {  // another thread of the process was faster
            ::close(placeholder);
            continue;
        }
        is_held[static_cast<std::size_t>(placeholder)] = true;
    }
    errno = error;
}

StandardDescriptorsHeld::~StandardDescriptorsHeld() {
    const int error = errno;
    const ScopedLock lock(hold_mutex);
    if (--holders != 0) return;
    for (int number = 0; number < kFirstFree; ++number) {
        if (is_held[static_cast<std::size_t>(number)]) ::close(number);
    }
    is_held = {};
    errno = error;
}

int open_above_standard(int directory, const char* path, int flags, mode_t mode) noexcept {
    return open_checked([=] { return ::openat(directory, path, flags, mode); });
}

int open_above_standard(int directory, const char* path, const open_how& how) noexcept {
    return open_checked([&] {
        return static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
    });
}

int move_above_standard(int descriptor) noexcept {
    if (descriptor < 0 || descriptor >= kFirstFree) return descriptor;
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, kFirstFree);
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return moved;
}

bool fill_standard_descriptors() noexcept {
    for (int number = 0; number < kFirstFree; ++number) {
        if (!is_closed(number)) continue;
        // With the opposite access mode: reading and writing fail as with a closed descriptor.
        const int flags = number == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (::open("/dev/null", flags) != number) return false;
    }
    return true;
}

}  // namespace qed
