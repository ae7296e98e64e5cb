// SPDX-License-Identifier: Apache-2.0
#include "cli/serve/nbdkit_run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "cli/terminal/console.hpp"

namespace qed::cli {
namespace {

constexpr int kFirstPassed = 3;  // nbdkit's first socket: SD_LISTEN_FDS_START
constexpr int kExecFailed = 127;

Error system_error(std::string_view what) {
    const int code = errno;
    return Error::from_errno(code, fmt::format("{}: {}", what, std::strerror(code)));
}

/// In the child: moves the sockets to descriptors 3, 4, ...; returns the number of the control
/// socket, which follows them, or -1.
int place_descriptors(const std::vector<Descriptor>& sockets, int control) {
    const int count = static_cast<int>(sockets.size());
    // First move all of them to high numbers, since they may occupy the numbers of others.
    std::vector<int> aside;
    aside.reserve(sockets.size());
    for (const Descriptor& socket : sockets) {
        aside.push_back(::fcntl(socket.get(), F_DUPFD_CLOEXEC, kFirstPassed + count + 1));
    }
    const int control_aside = ::fcntl(control, F_DUPFD_CLOEXEC, kFirstPassed + count + 1);
    for (int i = 0; i < count; ++i) {
        if (::dup2(aside[static_cast<std::size_t>(i)], kFirstPassed + i) < 0) return -1;
    }
    return ::dup2(control_aside, kFirstPassed + count);
}

/// In the child: becomes nbdkit. Returns only on failure.
void become_nbdkit(const NbdkitRun& run, const StopSignals& signals, int control, pid_t parent) {
    // nbdkit's --exit-with-parent starts too late to notice a parent that dies early.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) return;
    // nbdkit catches signals that were ignored, so those for a whole group must not reach it; this
    // program passes on the ones that count.
    ::setpgid(0, 0);
    std::signal(SIGUSR1, SIG_IGN);
    const int placed = place_descriptors(run.sockets, control);
    if (placed < 0) return;
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", std::to_string(run.sockets.size()).c_str(), 1);
    ::unsetenv("LISTEN_FDNAMES");

    const std::string control_parameter = fmt::format("control-fd={}", placed);
    std::vector<char*> argv{const_cast<char*>("nbdkit")};
    for (const std::string& argument : run.arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(const_cast<char*>(control_parameter.c_str()));
    argv.push_back(nullptr);
    sigset_t mask = signals.original_mask();
    ::sigdelset(&mask, SIGTERM);  // it stops nbdkit
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    ::execv(run.program.c_str(), argv.data());
    fmt::print(stderr, "qed: running {}: {}\n", run.program, std::strerror(errno));
}

/// The control socket to the plugin, which sends `ready` and `closed`.
class Control {
public:
    explicit Control(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
    int descriptor() const { return descriptor_.get(); }
    bool has_said(std::string_view line) const { return heard_.contains(line); }

    void hear() {
        char buffer[64];
        const ssize_t count = ::read(descriptor_.get(), buffer, sizeof buffer);
        if (count > 0) heard_.append(buffer, static_cast<std::size_t>(count));
        if (count == 0 || (count < 0 && errno != EINTR)) descriptor_.close();
    }
    void hear_the_rest() {
        while (descriptor_)
            hear();
    }
    /// Makes the plugin disconnect the clients, and after the grace period also those that take no
    /// replies. nbdkit alone would wait for them.
    void dismiss_clients() {
        if (descriptor_) ::shutdown(descriptor_.get(), SHUT_WR);
    }

private:
    Descriptor descriptor_;
    std::string heard_;
};

/// Whether the user is in a hurry: a terminal that closes sends HUP twice, and means one stop.
bool is_urgent(std::uint32_t signal) {
    return signal == SIGTERM || signal == SIGINT;
}

/// Forwards signals until the child has ended. \returns its wait status
Result<int> wait_for_end(pid_t child, const StopSignals& signals, Control& control,
                         const std::function<void()>& on_ready) {
    bool was_ready = false;
    bool is_stopping = false;
    for (;;) {
        pollfd events[] = {{signals.descriptor(), POLLIN, 0}, {control.descriptor(), POLLIN, 0}};
        if (::poll(events, 2, -1) < 0 && errno != EINTR) {
            return std::unexpected(system_error("waiting for nbdkit"));
        }
        if (events[1].revents != 0) control.hear();
        if (!was_ready && control.has_said("ready\n")) {
            was_ready = true;
            on_ready();
        }
        if (events[0].revents == 0) continue;
        signalfd_siginfo signal{};
        if (::read(signals.descriptor(), &signal, sizeof signal) != sizeof signal) continue;
        if (signal.ssi_signo != SIGCHLD) {
            ::kill(child, is_stopping && is_urgent(signal.ssi_signo) ? SIGKILL : SIGTERM);
            control.dismiss_clients();
            is_stopping = true;
            continue;
        }
        int status = 0;
        if (::waitpid(child, &status, WNOHANG) == child) return status;
    }
}

Result<void> judge(int status, const Control& control) {
    if (WIFSIGNALED(status)) {
        return fail(Errc::io_error,
                    fmt::format("nbdkit was ended by signal {} ({}); the image was not closed: "
                                "`qed check` shows its state",
                                WTERMSIG(status), ::strsignal(WTERMSIG(status))));
    }
    if (!control.has_said("ready\n")) {
        return fail(Errc::io_error, fmt::format("nbdkit ended before it served the image, with "
                                                "status {}; its messages are above",
                                                WEXITSTATUS(status)));
    }
    if (!control.has_said("closed\n")) {
        return fail(Errc::io_error,
                    "the image was not flushed and closed cleanly; nbdkit's "
                    "messages are above");
    }
    return {};
}

}  // namespace

StopSignals::StopSignals() {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGCHLD);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
        if (!Interrupts::is_ignored(signal)) ::sigaddset(&mask, signal);
    }
    // A reader of the URI that goes away must not end the server.
    std::signal(SIGPIPE, SIG_IGN);
    ::sigprocmask(SIG_BLOCK, &mask, &original_);
    descriptor_ = Descriptor(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<void> run_nbdkit(const NbdkitRun& run, const StopSignals& signals,
                        const std::function<void()>& on_ready) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return std::unexpected(system_error("making a pair of sockets"));
    }
    Control control{Descriptor(ends[0])};
    Descriptor other_end(ends[1]);

    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return std::unexpected(system_error("starting nbdkit"));
    if (child == 0) {
        become_nbdkit(run, signals, other_end.get(), parent);
        ::_exit(kExecFailed);
    }
    other_end.close();
    const auto status = wait_for_end(child, signals, control, on_ready);
    if (!status) return std::unexpected(status.error().clone());
    control.hear_the_rest();
    return judge(*status, control);
}

}  // namespace qed::cli
