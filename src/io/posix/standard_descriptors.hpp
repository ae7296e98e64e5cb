// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/openat2.h>
#include <sys/types.h>

namespace qed {

// A process may run with descriptor 0, 1 or 2 closed: the child of a daemon, `qed ... 2>&-`. The
// kernel gives out the lowest free number, so that an image could become "standard error", and the
// next message would overwrite its header. No descriptor that this library opens gets such a
// number.

/// While an object of this class lives, no file, socket or ring that any thread opens becomes
/// descriptor 0, 1 or 2: /dev/null occupies those that are closed. Thread-safe.
class StandardDescriptorsHeld {
public:
    StandardDescriptorsHeld() noexcept;
    ~StandardDescriptorsHeld();
    StandardDescriptorsHeld(const StandardDescriptorsHeld&) = delete;
    StandardDescriptorsHeld& operator=(const StandardDescriptorsHeld&) = delete;
};

/// openat() and openat2() with a result that is above 2, or -1 and errno. `flags` have O_CLOEXEC.
/// Every file that this library opens comes from one of these two.
int open_above_standard(int directory, const char* path, int flags, mode_t mode) noexcept;
int open_above_standard(int directory, const char* path, const open_how& how) noexcept;

/// The same open file with a number above 2, closed at exec. If `descriptor` was below 3, it is
/// closed. -1 and errno on failure, and for a `descriptor` below 0.
int move_above_standard(int descriptor) noexcept;

}  // namespace qed
