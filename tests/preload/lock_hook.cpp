// SPDX-License-Identifier: Apache-2.0
// A library for LD_PRELOAD. At the first lock on the file that QED_TEST_VICTIM names, it renames
// QED_TEST_OTHER over that name: the moment between the opening of a file and its lock. With
// QED_TEST_LOCK_ERRNO it makes every lock fail instead.
#include "support/lock_hook.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>

namespace {

void replace(int descriptor) {
    const char* const victim = std::getenv("QED_TEST_VICTIM");
    const char* const other = std::getenv("QED_TEST_OTHER");
    struct stat locked{};
    struct stat named{};
    if (victim == nullptr || other == nullptr || ::fstat(descriptor, &locked) != 0 ||
        ::stat(victim, &named) != 0 || locked.st_ino != named.st_ino) {
        return;
    }
    std::rename(other, victim);  // works once
}

bool start() {
    const char* const error = std::getenv("QED_TEST_LOCK_ERRNO");
    if (error != nullptr) qed::test::lock_errno = std::atoi(error);
    qed::test::before_lock = replace;
    return true;
}

// A variable, because it is initialized after those of the header.
[[maybe_unused]] const bool started = start();

}  // namespace
