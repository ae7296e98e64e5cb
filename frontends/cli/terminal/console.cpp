// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/console.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "sandbox/descriptor_limit.hpp"

namespace qed::cli {

Console::Console(std::FILE* out, std::FILE* err)
    : out_(out),
      err_(err),
      out_is_terminal_(isatty(fileno(out)) == 1),
      err_is_terminal_(isatty(fileno(err)) == 1) {}

void Console::write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), out_) != text.size() && write_errno_ == 0) {
        write_errno_ = errno;
    }
}

void Console::write_error(std::string_view text) {
    flush();
    std::fwrite(text.data(), 1, text.size(), err_);
    std::fflush(err_);
}

int Console::fail(const Error& error) {
    if (error.sys_errno() == EMFILE) {
        return fail(fmt::format("{}: this program may open {} files (ulimit -n)", error.message(),
                                sandbox::descriptor_limit()));
    }
    // The library does not know this program: which command helps is said here.
    const bool says_how = error.message().find("'qed check") != std::string::npos;
    if (error.code() != Errc::needs_check || says_how) return fail(error.message());
    return fail(fmt::format("{} (qed check -r all)", error.message()));
}

int Console::fail(std::string_view message) {
    write_error(fmt::format("qed: {}\n", message));
    return kExitError;
}

void Console::warn(std::string_view message) {
    write_error(fmt::format("qed: warning: {}\n", message));
}

void Console::flush() {
    if (std::fflush(out_) != 0 && write_errno_ == 0) write_errno_ = errno;
}

int Console::finish(int status) {
    flush();
    if (write_errno_ == 0) return status;
    const int lost = write_errno_;
    write_errno_ = 0;
    fail(fmt::format("writing to standard output: {}", std::strerror(lost)));
    return status != kExitOk ? status : kExitError;
}

namespace {

std::atomic<int> caught_signal{0};
std::atomic<bool> asked_for_progress{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

extern "C" void on_stop(int number) {
    caught_signal.store(number, std::memory_order_relaxed);
}

extern "C" void on_progress_wanted(int) {
    asked_for_progress.store(true, std::memory_order_relaxed);
}

}  // namespace

bool Interrupts::is_ignored(int number) {
    struct sigaction now{};
    return sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

void Interrupts::prepare() {
    // A write past the limit on file sizes must return an error instead of ending the process.
    signal(SIGXFSZ, SIG_IGN);
    // With the end of children ignored, their exit status is lost.
    signal(SIGCHLD, SIG_DFL);
    if (is_ignored(SIGUSR1)) return;
    struct sigaction action{};
    action.sa_handler = on_progress_wanted;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
}

void Interrupts::watch() {
    struct sigaction action{};
    action.sa_handler = on_stop;
    // The handler runs once; a second signal has its default effect.
    action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        if (!is_ignored(number)) sigaction(number, &action, nullptr);
    }
    // Console::finish() reports output that was lost.
    signal(SIGPIPE, SIG_IGN);
}

bool Interrupts::requested() {
    return caught_signal.load(std::memory_order_relaxed) != 0;
}

bool Interrupts::progress_wanted() {
    return asked_for_progress.exchange(false, std::memory_order_relaxed);
}

void Interrupts::die() {
    const int number = caught_signal.load(std::memory_order_relaxed);
    if (number == 0) return;
    signal(number, SIG_DFL);
    raise(number);
}

}  // namespace qed::cli
