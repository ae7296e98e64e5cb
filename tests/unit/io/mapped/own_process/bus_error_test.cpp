// SPDX-License-Identifier: Apache-2.0
// SIGBUS in a program that has mapped files and its own handler. Each test needs a process that has
// not mapped a file, so each runs in a new process.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <memory>

#include <gtest/gtest.h>

#include "qed/files.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kBytes = 1U << 20;
constexpr int kReached = 42;

int make_file() {
    const int descriptor = ::memfd_create("file", MFD_CLOEXEC);
    if (descriptor < 0 || ::ftruncate(descriptor, kBytes) != 0) std::_Exit(2);
    return descriptor;
}

/// A mapped file; `descriptor` is the file's, and stays open.
std::unique_ptr<BlockFile> open_mapped(int descriptor) {
    FileOptions options;
    options.mapped = true;
    auto file = adopt_descriptor(::dup(descriptor), "file", options);
    if (!file) std::_Exit(3);
    return std::move(*file);
}

bool reads(BlockFile& file) {
    std::array<std::byte, 4096> buffer{};
    return file.read(FileOffset{kBytes / 2}, buffer).run_blocking().has_value();
}

/// Memory that this program mapped itself, and whose file has been truncated.
volatile char* lost_memory() {
    const int descriptor = make_file();
    void* memory = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED || ::ftruncate(descriptor, 0) != 0) std::_Exit(4);
    return static_cast<volatile char*>(memory);
}

/// Installs the program's own handler, which libqed will find.
void handle(void (*handler)(int), int flags = 0) {
    struct sigaction action{};
    action.sa_handler = handler;
    action.sa_flags = flags;
    if (::sigaction(SIGBUS, &action, nullptr) != 0) std::_Exit(5);
}
void handle(void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action{};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    if (::sigaction(SIGBUS, &action, nullptr) != 0) std::_Exit(5);
}

/// Uses a mapped file, also after it was truncated, and then causes a fault of the program itself.
void fault_beside_a_mapped_file() {
    const int descriptor = make_file();
    const auto file = open_mapped(descriptor);
    if (!reads(*file) || ::ftruncate(descriptor, 0) != 0 || reads(*file)) std::_Exit(6);
    if (file->mapped_bytes() != 0) std::_Exit(7);
    [[maybe_unused]] const char byte = *lost_memory();
}

class BusErrorDeathTest : public ::testing::Test {
protected:
    BusErrorDeathTest() { ::testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(BusErrorDeathTest, AnotherFaultReachesTheHandlerThatWasThereBefore) {
    const auto run = [] {
        handle([](int signal) { std::_Exit(signal == SIGBUS ? kReached : 8); });
        fault_beside_a_mapped_file();
    };
    EXPECT_EXIT(run(), ::testing::ExitedWithCode(kReached), "");
}

TEST_F(BusErrorDeathTest, AnotherFaultReachesTheHandlerWithItsAddress) {
    static volatile char* fault = nullptr;
    const auto run = [] {
        handle([](int, siginfo_t* info, void* context) {
            std::_Exit(info->si_addr == fault && context != nullptr ? kReached : 8);
        });
        const auto file = open_mapped(make_file());
        fault = lost_memory();
        [[maybe_unused]] const char byte = *fault;
    };
    EXPECT_EXIT(run(), ::testing::ExitedWithCode(kReached), "");
}

TEST_F(BusErrorDeathTest, ForeignFaultWithoutHandlerEndsTheProcess) {
    for (void (*standard)(int) : {SIG_DFL, SIG_IGN}) {
        const auto run = [standard] {
            handle(standard);
            fault_beside_a_mapped_file();
        };
        EXPECT_EXIT(run(), ::testing::KilledBySignal(SIGBUS), "");
    }
}

TEST_F(BusErrorDeathTest, SentSignalKeepsItsEffect) {
    const auto send = [](void (*handler)(int), int flags = 0) {
        handle(handler, flags);
        const auto file = open_mapped(make_file());
        ::raise(SIGBUS);
        std::_Exit(reads(*file) && file->mapped_bytes() == kBytes ? 0 : 9);
    };
    EXPECT_EXIT(send(SIG_DFL), ::testing::KilledBySignal(SIGBUS), "");
    EXPECT_EXIT(send(SIG_DFL, SA_SIGINFO), ::testing::KilledBySignal(SIGBUS), "");
    EXPECT_EXIT(send(SIG_IGN), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(send(SIG_IGN, SA_SIGINFO), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(send([](int) {}), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(send([](int) { std::_Exit(kReached); }), ::testing::ExitedWithCode(kReached), "");
}

TEST_F(BusErrorDeathTest, FilesAreNotMappedOverAHandlerThatCameLater) {
    const auto run = [] {
        const auto first = open_mapped(make_file());
        if (first->mapped_bytes() != kBytes) std::_Exit(8);
        handle(SIG_DFL);
        const int descriptor = make_file();
        const auto second = open_mapped(descriptor);
        const bool is_mapped = second->mapped_bytes() != 0;
        if (!reads(*second) || ::ftruncate(descriptor, 0) != 0 || reads(*second)) std::_Exit(9);
        std::_Exit(is_mapped ? 10 : 0);
    };
    EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}

TEST_F(BusErrorDeathTest, AChildReadsTheFilesOfItsParent) {
    const auto run = [] {
        const int descriptor = make_file();
        const auto file = open_mapped(descriptor);
        const pid_t child = ::fork();
        if (child == 0) {
            const bool is_cut = ::ftruncate(descriptor, 0) == 0;
            std::_Exit(is_cut && !reads(*file) && file->mapped_bytes() == 0 ? 0 : 8);
        }
        int status = 0;
        if (::waitpid(child, &status, 0) != child || status != 0) std::_Exit(9);
        std::_Exit(!reads(*file) && file->mapped_bytes() == 0 ? 0 : 10);
    };
    EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace qed
