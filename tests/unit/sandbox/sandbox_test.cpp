// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sandbox.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "support/sanitized.hpp"
#include "support/temp_dir.hpp"

namespace qed::sandbox {
namespace {

/// The answer of a child process: the errno of its attempt, or one of these.
constexpr int kWorked = 0;
constexpr int kNoSandbox = 200;

int tried(bool worked) {
    return worked ? kWorked : errno;
}

/// Whether the kernel accepts a filter, tried without the code under test.
bool kernel_takes_filters() {
    const pid_t child = ::fork();
    if (child == 0) {
        sock_filter allow_all{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
        const sock_fprog program{1, &allow_all};
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        ::_exit(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
}

bool kernel_has_landlock() {
    return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/// Each test tries one action in a child process, because a process cannot leave its sandbox.
class SandboxTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (QED_TEST_SANITIZED) GTEST_SKIP() << "sanitizers need what the sandbox forbids";
        if (!kernel_takes_filters()) GTEST_SKIP() << "this kernel takes no seccomp filter";
        ASSERT_EQ(inside({}, [] { return kWorked; }), kWorked);
        ASSERT_EQ(missing_, kernel_has_landlock() ? "" : "this kernel has no Landlock");
    }

    /// The result of `attempt` inside the sandbox.
    int inside(const Needs& needs, const std::function<int()>& attempt) {
        int ends[2];
        if (::pipe(ends) != 0) return kNoSandbox;
        const pid_t child = ::fork();
        if (child == 0) {
            const auto entered = enter(Mode::automatic, needs);
            if (!entered) ::_exit(kNoSandbox);
            [[maybe_unused]] const ssize_t told =
                ::write(ends[1], entered->data(), entered->size());
            ::_exit(attempt());
        }
        ::close(ends[1]);
        std::array<char, 512> text{};
        const ssize_t length = ::read(ends[0], text.data(), text.size());
        missing_.assign(text.data(), static_cast<std::size_t>(std::max(length, ssize_t{0})));
        ::close(ends[0]);
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

    std::string file(const std::string& name) { return folder_.file(name); }
    /// Makes a file with the content "text"; returns its descriptor, open for reading and writing.
    int make(const std::string& name) {
        const int made = ::open(file(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        [[maybe_unused]] const ssize_t written = ::write(made, "text", 4);
        return made;
    }

    test::TempDir folder_;
    std::string missing_;
};

int open_and_close(const std::string& path, int flags) {
    const int opened = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    return tried(opened >= 0);
}

TEST_F(SandboxTest, OpensNoFile) {
    make("secret");
    for (const std::string& path : {file("secret"), std::string("/etc/passwd"), std::string("/")}) {
        EXPECT_EQ(inside({}, [&] { return open_and_close(path, O_RDONLY); }), EPERM) << path;
    }
    EXPECT_EQ(inside({}, [&] { return open_and_close(file("new"), O_WRONLY | O_CREAT); }), EPERM);
    EXPECT_NE(::access(file("new").c_str(), F_OK), 0);
}

TEST_F(SandboxTest, RemovesAndRenamesNothing) {
    make("kept");
    EXPECT_EQ(inside({}, [&] { return tried(::unlink(file("kept").c_str()) == 0); }), EPERM);
    EXPECT_EQ(inside({}, [&] { return tried(::truncate(file("kept").c_str(), 0) == 0); }), EPERM);
    EXPECT_EQ(inside({}, [&] { return tried(::chmod(file("kept").c_str(), 0777) == 0); }), EPERM);
    EXPECT_EQ(::access(file("kept").c_str(), F_OK), 0);
}

TEST_F(SandboxTest, MakesNoConnection) {
    EXPECT_EQ(inside({}, [] { return tried(::socket(AF_INET, SOCK_STREAM, 0) >= 0); }), EPERM);
    EXPECT_EQ(inside({}, [] { return tried(::socket(AF_UNIX, SOCK_STREAM, 0) >= 0); }), EPERM);
    // A socket that was made before does not help either.
    const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const at = reinterpret_cast<sockaddr*>(&address);
    ASSERT_EQ(::bind(listening, at, length), 0);
    ASSERT_EQ(::listen(listening, 1), 0);
    ASSERT_EQ(::getsockname(listening, at, &length), 0);
    for (const bool accepts : {false, true}) {
        Needs needs;
        needs.accepts_clients = accepts;
        EXPECT_EQ(inside(needs, [&] { return tried(::connect(client, at, length) == 0); }), EPERM);
    }
    ::close(client);
    ::close(listening);
}

TEST_F(SandboxTest, StartsNoProgramAndNoProcess) {
    const auto execute = [] {
        ::execl("/bin/true", "true", nullptr);
        return errno;
    };
    EXPECT_EQ(inside({}, execute), EPERM);
    const auto start_process = [] {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(0);
        return tried(child > 0);
    };
    EXPECT_EQ(inside({}, start_process), EPERM);
}

TEST_F(SandboxTest, TouchesNoOtherProcess) {
    const pid_t parent = ::getpid();
    EXPECT_EQ(inside({}, [&] { return tried(::kill(parent, 0) == 0); }), EPERM);
    EXPECT_EQ(inside({}, [&] { return tried(::syscall(SYS_tgkill, parent, parent, 0) == 0); }),
              EPERM);
}

TEST_F(SandboxTest, MakesTheKernelSignalNoOtherProcess) {
    const int opened = make("file");
    const pid_t parent = ::getpid();
    f_owner_ex owner{};
    owner.type = F_OWNER_PID;
    owner.pid = parent;
    const std::function<int()> attempts[] = {
        [&] { return tried(::fcntl(opened, F_SETOWN, parent) == 0); },
        [&] { return tried(::fcntl(opened, F_SETOWN_EX, &owner) == 0); },
        [&] { return tried(::fcntl(opened, F_SETSIG, SIGKILL) == 0); },
        [&] { return tried(::fcntl(opened, F_SETFL, O_ASYNC) == 0); },
        [&] { return tried(::fcntl(opened, F_SETFL, O_ASYNC | O_NONBLOCK) == 0); },
        [&] { return tried(::fcntl(opened, F_SETLEASE, F_RDLCK) == 0); },
        [&] { return tried(::fcntl(opened, F_NOTIFY, 0) == 0); },
        // The kernel takes the lower half of the number only.
        [&] {
            const long command = (1L << 32) | F_SETOWN;
            return tried(::syscall(SYS_fcntl, opened, command, parent) == 0);
        },
        [&] {
            int on = 1;
            return tried(::ioctl(opened, FIOASYNC, &on) == 0);
        },
    };
    for (const auto& attempt : attempts)
        EXPECT_EQ(inside({}, attempt), EPERM) << &attempt - attempts;
}

TEST_F(SandboxTest, FlagsLocksAndCopiesOfDescriptorsGoOnWorking) {
    const int opened = make("file");
    EXPECT_EQ(inside({},
                     [opened] {
                         struct flock range{};
                         range.l_type = F_WRLCK;
                         range.l_whence = SEEK_SET;
                         range.l_len = 1;
                         if (::fcntl(opened, F_OFD_SETLK, &range) != 0) return errno;
                         if (::fcntl(opened, F_OFD_GETLK, &range) != 0) return errno;
                         if (::fcntl(opened, F_SETLK, &range) != 0) return errno;
                         if (::fcntl(opened, F_SETFD, FD_CLOEXEC) != 0) return errno;
                         if (::fcntl(opened, F_GETFD) != FD_CLOEXEC) return errno;
                         const int flags = ::fcntl(opened, F_GETFL);
                         if (::fcntl(opened, F_SETFL, flags | O_NONBLOCK) != 0) return errno;
                         return tried(::fcntl(opened, F_DUPFD_CLOEXEC, 10) >= 10);
                     }),
              kWorked);
}

TEST_F(SandboxTest, HasNoUringAndNoNewExecutableMemory) {
    std::array<unsigned char, 256> zeroes{};
    EXPECT_EQ(
        inside({}, [&] { return tried(::syscall(SYS_io_uring_setup, 8, zeroes.data()) >= 0); }),
        EPERM);
    const auto map_code = [] {
        return tried(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                            0) != MAP_FAILED);
    };
    EXPECT_EQ(inside({}, map_code), EPERM);
}

TEST_F(SandboxTest, SecondFilterDoesNotOpenTheSandbox) {
    EXPECT_EQ(inside({}, [] { return tried(::syscall(SYS_seccomp, 1, 0, nullptr) == 0); }), EPERM);
}

TEST_F(SandboxTest, AcceptsClientsOnlyWhereThatWasAskedFor) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, file("sock").c_str(), sizeof address.sun_path - 1);
    auto* const at = reinterpret_cast<sockaddr*>(&address);
    const int listening = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(::bind(listening, at, sizeof address), 0);
    ASSERT_EQ(::listen(listening, 4), 0);
    ASSERT_EQ(::connect(client, at, sizeof address), 0);
    const auto accept_one = [&] { return tried(::accept(listening, nullptr, nullptr) >= 0); };
    EXPECT_EQ(inside({}, accept_one), EPERM);
    Needs needs;
    needs.accepts_clients = true;
    EXPECT_EQ(inside(needs, accept_one), kWorked);
    ::close(client);
    ::close(listening);
}

TEST_F(SandboxTest, OpenFilesAndThreadsGoOnWorking) {
    const int image = make("image");
    const auto use_them = [&] {
        int answer = kWorked;
        std::thread([&] {
            char byte = 0;
            const bool works = ::pread(image, &byte, 1, 0) == 1 && byte == 't' &&
                               ::pwrite(image, "x", 1, 4096) == 1 && ::fdatasync(image) == 0 &&
                               ::ftruncate(image, 8192) == 0 && ::lseek(image, 0, SEEK_DATA) == 0;
            answer = tried(works);
        }).join();
        return answer;
    };
    EXPECT_EQ(inside({}, use_them), kWorked);
    ::close(image);
}

TEST_F(SandboxTest, AbortStillEndsTheProcess) {
    const auto abort = []() -> int { std::abort(); };
    EXPECT_EQ(inside({}, abort), 128 + SIGABRT);
}

TEST_F(SandboxTest, OnlyTheNamedFileIsReadAgain) {
    if (!kernel_has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
    make("keys");
    make("secret");
    Needs needs;
    needs.reread.push_back(file("keys"));
    EXPECT_EQ(inside(needs, [&] { return open_and_close(file("keys"), O_RDONLY); }), kWorked);
    EXPECT_EQ(inside(needs, [&] { return open_and_close(file("keys"), O_RDWR); }), EPERM);
    EXPECT_EQ(inside(needs, [&] { return open_and_close(file("secret"), O_RDONLY); }), EACCES);
    EXPECT_EQ(inside(needs, [&] { return open_and_close("/etc/passwd", O_RDONLY); }), EACCES);
}

TEST_F(SandboxTest, AFileGetsItsNameInTheNamedFolderOnly) {
    if (!kernel_has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
    make("unfinished");
    Needs needs;
    needs.naming_folders.push_back(folder_.path());
    const test::TempDir other;
    const auto rename_to = [&](const std::string& target) {
        return inside(needs, [&] {
            return tried(std::rename(file("unfinished").c_str(), target.c_str()) == 0);
        });
    };
    EXPECT_EQ(rename_to(other.file("name")), EACCES);
    EXPECT_EQ(rename_to(file("name")), kWorked);
    EXPECT_EQ(::access(file("name").c_str(), F_OK), 0);
}

TEST_F(SandboxTest, MissingRereadFileIsAnErrorWithoutSandbox) {
    if (!kernel_has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
    Needs needs;
    needs.reread.push_back(file("not-there"));
    EXPECT_EQ(inside(needs, [] { return kWorked; }), kNoSandbox);
}

TEST_F(SandboxTest, OffForbidsNothing) {
    make("file");
    ASSERT_TRUE(enter(Mode::off, {}));
    EXPECT_EQ(open_and_close(file("file"), O_RDONLY), kWorked);
}

TEST(SandboxModeTest, KnowsItsNames) {
    EXPECT_EQ(parse_mode("auto").value(), Mode::automatic);
    EXPECT_EQ(parse_mode("on").value(), Mode::on);
    EXPECT_EQ(parse_mode("off").value(), Mode::off);
    EXPECT_EQ(parse_mode("yes").error().code(), Errc::invalid_argument);
}

}  // namespace
}  // namespace qed::sandbox
