// SPDX-License-Identifier: Apache-2.0
#include "cli/serve/socket_cleaner.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace qed::cli {
namespace {

bool is_same_file(const char* path, const struct stat& known) {
    struct stat now{};
    return ::lstat(path, &now) == 0 && now.st_dev == known.st_dev && now.st_ino == known.st_ino;
}

/// In the waiting process: holds nothing but the pipe, and is in no group that gets signals.
[[noreturn]] void wait_and_remove(int pipe, const std::string& path, const std::string& directory) {
    struct stat known{};
    const bool exists = ::lstat(path.c_str(), &known) == 0;
    ::setsid();
    ::prctl(PR_SET_NAME, "qed-cleaner");
    ::dup2(pipe, STDIN_FILENO);
    ::close_range(STDOUT_FILENO, ~0U, 0);
    if (path.front() == '/') [[maybe_unused]]
        const int moved = ::chdir("/");
    char dismissed = 0;
    ssize_t count = 0;
    do {
        count = ::read(STDIN_FILENO, &dismissed, sizeof dismissed);
    } while (count < 0 && errno == EINTR);
    if (count != 0) ::_exit(0);
    // Another server may have replaced the socket.
    if (exists && is_same_file(path.c_str(), known)) ::unlink(path.c_str());
    if (!directory.empty()) ::rmdir(directory.c_str());
    ::_exit(0);
}

}  // namespace

SocketCleaner::SocketCleaner(const std::string& path, const std::string& directory) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    const Descriptor reading(ends[0]);
    alive_ = Descriptor(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        // A grandchild: this process has no other child than nbdkit.
        if (::fork() == 0) wait_and_remove(reading.get(), path, directory);
        ::_exit(0);
    }
    if (child < 0) return;
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
}

void SocketCleaner::dismiss() noexcept {
    if (!alive_) return;
    const char word = 'd';
    [[maybe_unused]] const ssize_t told = ::write(alive_.get(), &word, 1);
    alive_.close();
}

}  // namespace qed::cli
