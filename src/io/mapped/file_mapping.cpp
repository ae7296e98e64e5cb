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

/// What the signal handler has to know of the thread that it interrupts.
struct CopyingThread {
    FileMapping* mapping = nullptr;  ///< copied from at this moment
    BusErrors bus_errors = BusErrors::unknown;
};
// The model makes it safe to read in a signal handler: nothing is allocated at first use.
constinit thread_local CopyingThread this_thread [[gnu::tls_model("initial-exec")]];

/// The kernel ends a process whose thread runs into SIGBUS and has it blocked, handler or not.
/// Asked once for each thread: a system call for each copy is what the mapping is to avoid.
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
    /// Puts the handler in place, once. False: another one is there.
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
        const bool is_fault = info->si_code > 0;  // not sent by kill() and the like
        if (is_fault && mapping != nullptr && mapping->contains(info->si_addr) && mapping->lose()) {
            return;
        }
        pass_on(signal, info, context);
    }

    static void pass_on(int signal, siginfo_t* info, void* context) noexcept {
        // Whatever the flags say: both kinds of handlers are in one place.
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
        // The end, as it would have been without us: at the same instruction, for the core dump.
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
    // Nothing of the copy may move out from between the two, as seen by a handler in this thread.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::copy_n(memory_ + at, to.size(), to.data());
    std::atomic_signal_fence(std::memory_order_seq_cst);
    this_thread.mapping = nullptr;
    // Whoever has copied of the zeroes sees that they took the file's place.
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
    // Not mmap(): sanitizers would see a write to memory that other threads are reading.
    const long answer = ::syscall(SYS_mmap, memory_, bytes_, PROT_READ,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    errno = error;
    return answer != -1;
}

}  // namespace qed
