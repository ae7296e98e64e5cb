// SPDX-License-Identifier: Apache-2.0
#include "io/mapped/file_mapping.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <new>

namespace qed {
namespace {

enum class BusErrors : std::uint8_t { unknown, delivered, blocked };

/// State that the signal handler needs about the thread that it interrupts.
struct CopyingThread {
    FileMapping* mapping = nullptr;  ///< the source of the copy in progress
    BusErrors bus_errors = BusErrors::unknown;
};
// This TLS model makes it safe to read in a signal handler: the first use does not allocate.
constinit thread_local CopyingThread this_thread [[gnu::tls_model("initial-exec")]];

/// The kernel ends a process whose thread causes SIGBUS while it blocks the signal, even with a
/// handler. Tested once for each thread, because a system call per copy would defeat the mapping.
bool delivers_bus_errors() noexcept {
    if (this_thread.bus_errors == BusErrors::unknown) [[unlikely]] {
        sigset_t blocked;
        const bool known = ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked) == 0;
        this_thread.bus_errors = known && ::sigismember(&blocked, SIGBUS) == 0
                                     ? BusErrors::delivered
                                     : BusErrors::blocked;
    }
    return this_thread.bus_errors == BusErrors::delivered;
}

}  // namespace

struct BusErrorHandler {
    /// Installs the handler once. Returns false if another handler is installed.
    static bool is_installed() noexcept {
        static const bool installed = install();
        struct sigaction now{};
        return installed && ::sigaction(SIGBUS, nullptr, &now) == 0 &&
               (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == handle;
    }

private:
    static bool install() noexcept {
        if (::sigaction(SIGBUS, nullptr, &previous) != 0) return false;
        struct sigaction ours = previous;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (previous.sa_flags & (SA_RESTART | SA_NODEFER));
        ours.sa_sigaction = handle;
        return ::sigaction(SIGBUS, &ours, nullptr) == 0;
    }

    static void handle(int signal, siginfo_t* info, void* context) noexcept {
        FileMapping* mapping = this_thread.mapping;
        const bool is_fault = info->si_code > 0;  // not sent by kill() or similar
        if (is_fault && mapping != nullptr && mapping->contains(info->si_addr) && mapping->lose()) {
            return;
        }
        pass_on(signal, info, context);
    }

    static void pass_on(int signal, siginfo_t* info, void* context) noexcept {
        // Both kinds of handlers are in the same place, whatever the flags say.
        const bool is_handled = previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN;
        if (is_handled && (previous.sa_flags & SA_SIGINFO) != 0) {
            previous.sa_sigaction(signal, info, context);
            return;
        }
        if (is_handled) {
            previous.sa_handler(signal);
            return;
        }
        const bool was_sent = info->si_code <= 0;
        if (previous.sa_handler == SIG_IGN && was_sent) return;
        // Ends the process as without this handler: at the same instruction, for the core dump.
        struct sigaction standard{};
        standard.sa_handler = SIG_DFL;
        ::sigaction(signal, &standard, nullptr);
        if (was_sent) ::raise(signal);
    }

    static inline struct sigaction previous{};
};

std::unique_ptr<FileMapping> FileMapping::create(int descriptor, std::uint64_t bytes) noexcept {
    if (bytes == 0 || bytes > std::numeric_limits<std::size_t>::max()) return nullptr;
    if (!BusErrorHandler::is_installed()) return nullptr;
    void* memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) return nullptr;
    std::unique_ptr<FileMapping> mapping(new (std::nothrow)
                                             FileMapping(static_cast<std::byte*>(memory), bytes));
    if (mapping == nullptr) ::munmap(memory, bytes);
    return mapping;
}

FileMapping::~FileMapping() {
    ::munmap(memory_, bytes_);
}

bool FileMapping::copy(std::uint64_t at, std::span<std::byte> to) noexcept {
    if (lost_.load(std::memory_order_relaxed) || !delivers_bus_errors()) return false;
    this_thread.mapping = this;
    // No part of the copy may move outside these two, as seen by a handler in this thread.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::copy_n(memory_ + at, to.size(), to.data());
    std::atomic_signal_fence(std::memory_order_seq_cst);
    this_thread.mapping = nullptr;
    // A thread that has copied such zeroes also sees that they replaced the file.
    std::atomic_thread_fence(std::memory_order_acquire);
    return !lost_.load(std::memory_order_relaxed);
}

bool FileMapping::contains(const void* address) const noexcept {
    const auto* byte = static_cast<const std::byte*>(address);
    return byte >= memory_ && byte < memory_ + bytes_;
}

bool FileMapping::lose() noexcept {
    const int error = errno;
    lost_.store(true, std::memory_order_seq_cst);
    // Not mmap(): sanitizers would report it as a write to memory that other threads are reading.
    const long answer = ::syscall(SYS_mmap, memory_, bytes_, PROT_READ,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    errno = error;
    return answer != -1;
}

}  // namespace qed
