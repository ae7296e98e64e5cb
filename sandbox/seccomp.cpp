// SPDX-License-Identifier: Apache-2.0
#include "sandbox/seccomp.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>

#include <fmt/format.h>

namespace qed::sandbox {
namespace {

// None of these opens a file, makes a socket or a process, or affects another process.
constexpr int kOnOpenFiles[] = {
    SCMP_SYS(read),      SCMP_SYS(readv),     SCMP_SYS(pread64),         SCMP_SYS(preadv),
    SCMP_SYS(preadv2),   SCMP_SYS(write),     SCMP_SYS(writev),          SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),   SCMP_SYS(pwritev2),  SCMP_SYS(lseek),           SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(fallocate), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate),
    SCMP_SYS(fadvise64), SCMP_SYS(fstat),     SCMP_SYS(fstatfs),         SCMP_SYS(getdents64),
    SCMP_SYS(close),     SCMP_SYS(dup),       SCMP_SYS(pipe2),           SCMP_SYS(eventfd2),
    SCMP_SYS(poll),      SCMP_SYS(ppoll),     SCMP_SYS(select),          SCMP_SYS(pselect6),
};
constexpr int kOnOpenSockets[] = {
    SCMP_SYS(recvfrom),    SCMP_SYS(recvmsg),    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),     SCMP_SYS(shutdown),   SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
};
constexpr int kOnItself[] = {
    SCMP_SYS(brk),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};
// The calls that give a name to a file without one.
constexpr int kNaming[] = {
    SCMP_SYS(linkat),    SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
};
// Of terminals and block devices; ranges shared between files.
constexpr unsigned long kIoctls[] = {TCGETS, TIOCGWINSZ, BLKGETSIZE64, BLKSSZGET, FICLONERANGE};

// Of descriptors and of record locks. F_SETOWN and F_SETSIG are not here: they make the kernel send
// a signal of choice to any process of the user, and kernels before 6.12 check no sandbox then.
constexpr int kFcntls[] = {
    F_DUPFD,  F_DUPFD_CLOEXEC, F_GETFD,     F_SETFD,      F_GETFL,      F_GETLK,      F_SETLK,
    F_SETLKW, F_OFD_GETLK,     F_OFD_SETLK, F_OFD_SETLKW, F_GETPIPE_SZ, F_SETPIPE_SZ,
};

/// A filter under construction; remembers the first failure.
class Filter {
public:
    Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(EPERM)), &::seccomp_release) {
        if (context_ == nullptr) failure_ = ENOMEM;
    }

    template <class Calls>
    void allow(const Calls& calls) {
        for (const int call : calls)
            add(SCMP_ACT_ALLOW, call, {});
    }
    void allow(int call, scmp_arg_cmp condition) { add(SCMP_ACT_ALLOW, call, {condition}); }
    void allow(int call, scmp_arg_cmp condition, scmp_arg_cmp and_condition) {
        add(SCMP_ACT_ALLOW, call, {condition, and_condition});
    }
    void refuse(int call, int error) {
        add(SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error)), call, {});
    }
    /// \returns 0 or an errno
    int load() {
        if (failure_ != 0) return failure_;
        // For all threads; with a tree instead of a chain of comparisons.
        note(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));
        note(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
        if (failure_ == 0) note(::seccomp_load(context_.get()));
        return failure_;
    }

private:
    void add(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> conditions) {
        if (failure_ != 0) return;
        note(::seccomp_rule_add_array(context_.get(), action, call,
                                      static_cast<unsigned>(conditions.size()),
                                      conditions.begin()));
    }
    void note(int result) {
        if (result != 0 && failure_ == 0) failure_ = -result;
    }

    std::unique_ptr<void, decltype(&::seccomp_release)> context_;
    int failure_ = 0;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp has_bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void allow_with_conditions(Filter& filter) {
    // Threads, but no processes. A filter cannot see the flags of clone3, which are in memory; the
    // C library uses clone if clone3 fails.
    filter.allow(SCMP_SYS(clone), has_bits(0, CLONE_THREAD, CLONE_THREAD));
    filter.refuse(SCMP_SYS(clone3), ENOSYS);
    filter.allow(SCMP_SYS(tgkill), equals(0, static_cast<std::uint64_t>(::getpid())));
    filter.allow(SCMP_SYS(prctl), equals(0, PR_SET_NAME));
    filter.allow(SCMP_SYS(prlimit64), equals(2, 0));  // to ask, not to set
    filter.allow(SCMP_SYS(mmap), has_bits(2, PROT_EXEC, 0));
    filter.allow(SCMP_SYS(mprotect), has_bits(2, PROT_EXEC, 0));
    // Of an open file, not of a name.
    filter.allow(SCMP_SYS(newfstatat), has_bits(3, AT_EMPTY_PATH, AT_EMPTY_PATH));
    filter.allow(SCMP_SYS(statx), has_bits(2, AT_EMPTY_PATH, AT_EMPTY_PATH));
    // The kernel takes only the lower half of these arguments.
    constexpr std::uint64_t kLower = 0xffffffffU;
    for (const unsigned long request : kIoctls)
        filter.allow(SCMP_SYS(ioctl), has_bits(1, kLower, request));
    for (const int command : kFcntls)
        filter.allow(SCMP_SYS(fcntl), has_bits(1, kLower, static_cast<std::uint64_t>(command)));
    filter.allow(SCMP_SYS(fcntl), has_bits(1, kLower, F_SETFL), has_bits(2, O_ASYNC, 0));
}

}  // namespace

Result<Missing> restrict_calls(const Needs& needs) {
    Filter filter;
    filter.allow(kOnOpenFiles);
    filter.allow(kOnOpenSockets);
    filter.allow(kOnItself);
    allow_with_conditions(filter);
    if (needs.accepts_clients) {
        filter.allow(std::initializer_list<int>{SCMP_SYS(accept), SCMP_SYS(accept4)});
    }
    if (!needs.naming_folders.empty()) filter.allow(kNaming);
    if (!needs.reread.empty()) {
        filter.allow(SCMP_SYS(openat), has_bits(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY));
    }
    const int failure = filter.load();
    if (failure == 0) return Missing();
    if (failure == ENOMEM) return std::unexpected(Error::out_of_memory());
    // Old kernels, containers and emulators each report this with a different errno.
    return Missing(fmt::format("no seccomp filter is accepted ({})", std::strerror(failure)));
}

}  // namespace qed::sandbox
