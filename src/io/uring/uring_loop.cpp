// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <thread>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <liburing.h>

#include "base/assert.hpp"
#include "base/mutex.hpp"
#include "io/posix/standard_descriptors.hpp"
#include "io/transfer.hpp"
#include "io/uring/io_loop.hpp"
#include "qed/files.hpp"

namespace qed {

namespace {

/// The most requests that end without waiting before others run.
constexpr unsigned kInlineTurn = 64;

/// Requests that are submitted together: with more, the disk would idle while they gather; with
/// fewer, the calls would cost more than they gain (ADR 0003).
constexpr unsigned kSubmitTogether = 4;

static_assert(std::is_standard_layout_v<IoOp>);

/// While a request is in flight, its waiter is in no other queue, so it represents the request
/// here.
IoOp& op_of(Waiter& waiter) noexcept {
    return *reinterpret_cast<IoOp*>(reinterpret_cast<std::byte*>(&waiter) - offsetof(IoOp, waiter));
}

}  // namespace

// Hidden: a class in a class that is exported would be exported with it.
struct [[gnu::visibility("hidden")]] UringLoop::Impl final : IoLoop {
    struct Completion {
        IoOp* op = nullptr;
        int answer = 0;
        unsigned flags = 0;
    };

    explicit Impl(bool inline_reads) noexcept : try_inline_reads(inline_reads) {
        ring.ring_fd = -1;
    }
    ~Impl() {
        QED_ASSERT(in_flight == 0 && waiting.empty() && finished.empty());
        if (ring.ring_fd >= 0) io_uring_queue_exit(&ring);
        if (wake_descriptor >= 0) ::close(wake_descriptor);
    }

    Result<void> init(unsigned entries);
    void post(Waiter& waiter) noexcept;
    void run_until(const bool& done) noexcept;

    bool tries_inline_reads() const noexcept override { return try_inline_reads; }
    void submit(IoOp& op, FileState& file) noexcept override;
    bool take_turn(IoOp& op) noexcept override;

    void adopt_thread() noexcept;
    void take_mail() noexcept;
    void resume_ready(const bool& done) noexcept;
    /// Submits requests and takes completions; sleeps for a completion if there is no other work.
    void exchange(bool may_sleep) noexcept;
    void enter(bool may_sleep) noexcept;
    void check_submitted(int answer) noexcept;
    /// The kernel takes no more requests, for an unexpected reason: these and all later ones fail.
    void give_up(int error) noexcept;
    void take_back_submissions() noexcept;
    void fail_waiting() noexcept;
    void exchange_broken(bool may_sleep) noexcept;
    void reap() noexcept;
    void fill_queue() noexcept;
    void listen() noexcept;
    void prepare(io_uring_sqe* entry, IoOp& op) noexcept;
    void handle(const Completion& completion) noexcept;

    io_uring ring{};
    const bool try_inline_reads;
    int wake_descriptor = -1;
    std::atomic<std::thread::id> owner{};

    // Used by the owning thread only.
    int broken = 0;          // the errno with which io_uring_enter() failed for good
    WaiterQueue ready;       // coroutines
    WaiterQueue finished;    // requests that ended inline and let others run first
    WaiterQueue waiting;     // requests that are not submitted yet
    unsigned in_flight = 0;  // requests that are submitted or waiting
    unsigned in_kernel = 0;
    unsigned inline_left = kInlineTurn;
    bool is_listening = false;

    Mutex mutex;
    WaiterQueue inbox QED_GUARDED_BY(mutex);
    bool is_asleep QED_GUARDED_BY(mutex) = false;
    std::atomic<bool> has_mail{false};
};

Result<void> UringLoop::Impl::init(unsigned entries) {
    // Try the best mode first: the submitting thread handles completions only when the loop asks
    // for them. Older kernels support fewer modes.
    constexpr unsigned kAlways = IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP;
    constexpr unsigned kChoices[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
        0,
    };
    const StandardDescriptorsHeld held;  // for the ring and for the eventfd
    int answer = -EINVAL;
    io_uring_params params{};
    for (const unsigned flags : kChoices) {
        params = {};
        params.flags = kAlways | flags;
        answer = io_uring_queue_init_params(entries, &ring, &params);
        if (answer != -EINVAL) break;
    }
    if (answer < 0) {
        ring.ring_fd = -1;
        return std::unexpected(Error::from_errno(
            -answer, fmt::format("cannot set up io_uring: {}; it may be switched off "
                                 "(kernel.io_uring_disabled, seccomp): use blocking I/O instead",
                                 strerrordesc_np(-answer))));
    }
    if ((params.features & IORING_FEAT_RSRC_TAGS) == 0) {
        return fail(Errc::unsupported,
                    "io_uring of this kernel is too old, Linux 5.13 is needed: use blocking I/O");
    }
    wake_descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_descriptor < 0) {
        const int failure = errno;
        return std::unexpected(Error::from_errno(
            failure, fmt::format("cannot make an eventfd: {}", strerrordesc_np(failure))));
    }
    return {};
}

void UringLoop::Impl::post(Waiter& waiter) noexcept {
    if (owner.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
        ready.push(waiter);
        return;
    }
    // All under the lock: when the owner has taken the waiter, it may destroy the loop.
    const ScopedLock lock(mutex);
    inbox.push(waiter);
    has_mail.store(true, std::memory_order_relaxed);
    if (is_asleep) {
        is_asleep = false;
        ::eventfd_write(wake_descriptor, 1);
    }
}

void UringLoop::Impl::adopt_thread() noexcept {
    const auto self = std::this_thread::get_id();
    const auto known = owner.load(std::memory_order_relaxed);
    if (known == self) return;
    QED_ASSERT(known == std::thread::id() && "a UringLoop stays with the thread that ran it first");
    owner.store(self, std::memory_order_relaxed);
    // liburing 2.3 declares io_uring_enable_rings() but does not export it.
    const long answer =
        ::syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    if (answer != 0) give_up(errno);
}

void UringLoop::Impl::run_until(const bool& done) noexcept {
    adopt_thread();
    while (!done) {
        take_mail();
        resume_ready(done);
        if (!done) exchange(ready.empty() && finished.empty());
    }
}

void UringLoop::Impl::take_mail() noexcept {
    if (!has_mail.load(std::memory_order_relaxed)) return;
    const ScopedLock lock(mutex);
    has_mail.store(false, std::memory_order_relaxed);
    while (Waiter* waiter = inbox.pop())
        ready.push(*waiter);
}

void UringLoop::Impl::resume_ready(const bool& done) noexcept {
    // Runs one round. Waiters that become ready meanwhile run in the next round, after completions.
    WaiterQueue round = std::exchange(ready, {});
    while (!done) {
        Waiter* waiter = round.pop();
        if (waiter == nullptr) break;
        waiter->handle.resume();
    }
    WaiterQueue requests = std::exchange(finished, {});
    while (!done) {
        Waiter* waiter = requests.pop();
        if (waiter == nullptr) break;
        op_of(*waiter).complete();
    }
    // The awaited task has ended; the other waiters continue in the next run.
    while (Waiter* waiter = round.pop())
        ready.push(*waiter);
    while (Waiter* waiter = requests.pop())
        finished.push(*waiter);
}

void UringLoop::Impl::exchange(bool may_sleep) noexcept {
    inline_left = kInlineTurn;
    fill_queue();
    may_sleep = may_sleep && finished.empty();
    if (may_sleep) {
        const ScopedLock lock(mutex);
        if (!inbox.empty()) return;
        is_asleep = true;
    }
    if (may_sleep || in_flight > 0) enter(may_sleep);
    if (may_sleep) {
        const ScopedLock lock(mutex);
        is_asleep = false;
    }
    reap();
}

void UringLoop::Impl::enter(bool may_sleep) noexcept {
    if (broken != 0) return exchange_broken(may_sleep);
    check_submitted(may_sleep ? io_uring_submit_and_wait(&ring, 1)
                              : io_uring_submit_and_get_events(&ring));
}

void UringLoop::Impl::check_submitted(int answer) noexcept {
    // Interrupted, or short of resources until completions are taken: the next round submits the
    // rest.
    const bool passes = answer == -EINTR || answer == -EAGAIN || answer == -EBUSY;
    if (answer < 0 && !passes) give_up(-answer);
}

void UringLoop::Impl::give_up(int error) noexcept {
    if (broken == 0) broken = error;
    take_back_submissions();
    fail_waiting();
}

void UringLoop::Impl::take_back_submissions() noexcept {
    io_uring_sq& queue = ring.sq;
    const unsigned taken = io_uring_smp_load_acquire(queue.khead);
    for (unsigned at = taken; at != queue.sqe_tail; ++at) {
        // The queue's array of indexes is the identity.
        const io_uring_sqe& entry = queue.sqes[at & *queue.kring_mask];
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel has a number
        auto* const op = reinterpret_cast<IoOp*>(entry.user_data);
        if (op == nullptr) {
            is_listening = false;
            continue;
        }
        --in_kernel;
        waiting.push(op->waiter);
    }
    queue.sqe_head = taken;
    queue.sqe_tail = taken;
    io_uring_smp_store_release(queue.ktail, taken);
}

void UringLoop::Impl::fail_waiting() noexcept {
    // They end in the next round, since this may run inside the call that starts a request.
    while (Waiter* waiter = waiting.pop()) {
        --in_flight;
        op_of(*waiter).error = broken;
        finished.push(*waiter);
    }
}

void UringLoop::Impl::exchange_broken(bool may_sleep) noexcept {
    // What the kernel has taken may still use its buffers, so it has to end by itself.
    if (in_kernel > 0) [[maybe_unused]]
        const int tried = io_uring_submit_and_get_events(&ring);
    reap();
    if (!may_sleep || !finished.empty()) return;
    constexpr int kTryAgainMilliseconds = 10;
    pollfd wake{wake_descriptor, POLLIN, 0};
    ::poll(&wake, 1, in_kernel > 0 ? kTryAgainMilliseconds : -1);
    eventfd_t count = 0;
    ::eventfd_read(wake_descriptor, &count);
}

void UringLoop::Impl::reap() noexcept {
    std::array<io_uring_cqe*, 64> entries{};
    std::array<Completion, 64> batch{};
    while (true) {
        const unsigned count =
            io_uring_peek_batch_cqe(&ring, entries.data(), static_cast<unsigned>(entries.size()));
        if (count == 0) return;
        for (unsigned i = 0; i < count; ++i) {
            const io_uring_cqe& entry = *entries[i];
            batch[i] = {static_cast<IoOp*>(io_uring_cqe_get_data(&entry)), entry.res, entry.flags};
        }
        io_uring_cq_advance(&ring, count);
        for (unsigned i = 0; i < count; ++i)
            handle(batch[i]);
    }
}

void UringLoop::Impl::handle(const Completion& completion) noexcept {
    if (completion.op == nullptr) {  // a waiter was posted
        is_listening = (completion.flags & IORING_CQE_F_MORE) != 0;
        return;
    }
    --in_flight;
    --in_kernel;
    IoOp& op = *completion.op;
    FileState& file = *static_cast<FileState*>(op.backend);
    int answer = completion.answer;
    if (answer == -EAGAIN) answer = -EINTR;
    const bool moves_data = op.kind == IoKind::read || op.kind == IoKind::write;
    const bool is_done = moves_data ? file.account(op, answer) : file.settle(op, answer);
    if (is_done) {
        op.complete();
    } else {
        submit(op, file);
    }
}

void UringLoop::Impl::submit(IoOp& op, FileState& file) noexcept {
    op.backend = &file;
    waiting.push(op.waiter);
    ++in_flight;
    const bool runs = owner.load(std::memory_order_relaxed) != std::thread::id();
    if (!runs || in_flight - in_kernel < kSubmitTogether) return;
    fill_queue();
    if (broken == 0) check_submitted(io_uring_submit(&ring));
}

bool UringLoop::Impl::take_turn(IoOp& op) noexcept {
    if (inline_left > 0) {
        --inline_left;
        return false;
    }
    finished.push(op.waiter);
    return true;
}

void UringLoop::Impl::fill_queue() noexcept {
    if (broken != 0) return fail_waiting();
    if (!is_listening) listen();
    // No more requests than the completion queue can hold; one entry is for posts.
    while (!waiting.empty() && in_kernel + 1 < ring.cq.ring_entries) {
        io_uring_sqe* entry = io_uring_get_sqe(&ring);
        if (entry == nullptr) return;
        ++in_kernel;
        prepare(entry, op_of(*waiting.pop()));
    }
}

void UringLoop::Impl::listen() noexcept {
    io_uring_sqe* entry = io_uring_get_sqe(&ring);
    if (entry == nullptr) return;
    eventfd_t count = 0;
    ::eventfd_read(wake_descriptor, &count);
    // A poll, not a read: the kernel may outlive the loop, and must not write to its memory then.
    io_uring_prep_poll_multishot(entry, wake_descriptor, POLLIN);
    io_uring_sqe_set_data(entry, nullptr);
    is_listening = true;
}

void UringLoop::Impl::prepare(io_uring_sqe* entry, IoOp& op) noexcept {
    const int descriptor = static_cast<FileState*>(op.backend)->descriptor;
    const std::uint64_t at = op.offset + op.progress;
    const iovec* buffers = op.vector();
    const unsigned count = buffers_per_call(op);
    const auto first_bytes = static_cast<unsigned>(std::min(buffers->iov_len, kMaxTransferBytes));
    switch (op.kind) {
        case IoKind::read:
            if (count == 1) {
                io_uring_prep_read(entry, descriptor, buffers->iov_base, first_bytes, at);
            } else {
                io_uring_prep_readv(entry, descriptor, buffers, count, at);
            }
            break;
        case IoKind::write:
            if (count == 1) {
                io_uring_prep_write(entry, descriptor, buffers->iov_base, first_bytes, at);
            } else {
                io_uring_prep_writev(entry, descriptor, buffers, count, at);
            }
            break;
        case IoKind::flush:
            io_uring_prep_fsync(entry, descriptor, IORING_FSYNC_DATASYNC);
            break;
        case IoKind::punch:
        case IoKind::allocate: {
            const int mode =
                op.kind == IoKind::punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0;
            io_uring_prep_fallocate(entry, descriptor, mode, static_cast<off_t>(op.offset),
                                    static_cast<off_t>(op.length));
            break;
        }
        case IoKind::truncate:
            QED_ASSERT(false && "truncate runs inline");
            break;
    }
    io_uring_sqe_set_data(entry, &op);
}

UringLoop::UringLoop(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
UringLoop::~UringLoop() = default;

Result<std::unique_ptr<UringLoop>> UringLoop::create(const UringOptions& options) {
    if (options.entries == 0) {
        return fail(Errc::invalid_argument, "io_uring needs space for at least 1 request");
    }
    auto impl = std::make_unique<Impl>(options.try_inline_reads);
    QED_CHECK(impl->init(options.entries));
    return std::unique_ptr<UringLoop>(new UringLoop(std::move(impl)));
}

void UringLoop::post(Waiter& waiter) noexcept {
    impl_->post(waiter);
}
IoLoop* UringLoop::io_loop() noexcept {
    return impl_.get();
}
void UringLoop::run_until(const bool& done) {
    impl_->run_until(done);
}

}  // namespace qed
