// SPDX-License-Identifier: Apache-2.0
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "coro/async_mutex.hpp"
#include "coro/when_all.hpp"
#include "qed/files.hpp"
#include "support/io_ways.hpp"
#include "support/sanitized.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

struct UringLoopTest : ::testing::Test {
    std::unique_ptr<BlockFile> make_file(bool direct, std::size_t bytes) {
        FileOptions options;
        options.writable = true;
        options.create = true;
        options.direct = direct;
        auto file = test::open_or_throw(dir.file("disk"), options);
        content = test::pattern(bytes, 1);
        if (!file->write(FileOffset{0}, content).run_blocking()) throw std::runtime_error("write");
        return file;
    }
    test::TempDir dir;
    std::vector<std::byte> content;
};

Task<Result<void>> read_in_pieces(BlockFile& file, std::span<std::byte> into, std::size_t piece,
                                  std::size_t at_once) {
    std::size_t at = 0;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (at >= into.size()) return std::nullopt;
        IoOp op = file.read(FileOffset{at}, into.subspan(at, piece));
        at += piece;
        return test::await_op(op);
    };
    Result<void> done = co_await when_all(at_once, next);
    co_return done;
}

TEST_F(UringLoopTest, TakesMoreRequestsThanItsQueuesHold) {
    const auto file = make_file(/*direct=*/true, 1 << 20);
    const auto loop = test::make_loop({.entries = 2, .try_inline_reads = false});
    std::vector<std::byte> read(content.size());
    ASSERT_TRUE(loop->run(read_in_pieces(*file, read, 1024, 200)));
    EXPECT_EQ(read, content);
}

TEST_F(UringLoopTest, BufferedReadsGoThroughTheRingWhenInlineOnesAreOff) {
    const auto file = make_file(/*direct=*/false, 1 << 20);
    for (const bool inline_reads : {false, true}) {
        const auto loop = test::make_loop({.entries = 64, .try_inline_reads = inline_reads});
        std::vector<std::byte> read(content.size());
        ASSERT_TRUE(loop->run(read_in_pieces(*file, read, 4096, 32)));
        EXPECT_EQ(read, content);
    }
}

TEST_F(UringLoopTest, RunsOneTaskAfterAnother) {
    const auto file = make_file(false, 8192);
    const auto loop = test::make_loop();
    for (int i = 0; i < 5; ++i) {
        std::vector<std::byte> read(8192);
        ASSERT_TRUE(loop->run(test::await_op(file->read(FileOffset{0}, read))));
        EXPECT_EQ(read, content);
    }
}

TEST_F(UringLoopTest, MayBeMadeAndDroppedUnused) {
    const auto loop = test::make_loop({.entries = 1});
    EXPECT_NE(loop->io_loop(), nullptr);
}

TEST_F(UringLoopTest, MayRunOnAnotherThreadThanTheOneThatMadeIt) {
    const auto file = make_file(true, 4096);
    auto loop = test::make_loop();
    std::vector<std::byte> read(4096);
    std::thread runner(
        [&] { EXPECT_TRUE(loop->run(test::await_op(file->read(FileOffset{0}, read)))); });
    runner.join();
    EXPECT_EQ(read, content);
    loop.reset();
}

TEST_F(UringLoopTest, ZeroEntriesAreRefused) {
    const auto loop = UringLoop::create({.entries = 0});
    ASSERT_FALSE(loop);
    EXPECT_EQ(loop.error().code(), Errc::invalid_argument);
}

Task<Result<void>> read_until(BlockFile& file, const bool& stop, std::uint64_t& reads) {
    std::vector<std::byte> bytes(512);
    while (!stop) {
        QED_CO_CHECK(co_await file.read(FileOffset{0}, bytes));
        ++reads;
    }
    co_return Result<void>{};
}

Task<Result<void>> flush_then_stop(BlockFile& file, bool& stop) {
    Result<void> done = co_await file.flush();
    stop = true;
    co_return done;
}

// Reads that never wait could keep the thread busy forever; the flush must still run.
TEST_F(UringLoopTest, RequestsThatNeverWaitDoNotStarveTheOthers) {
    const auto file = make_file(false, 4096);
    const auto loop = test::make_loop();
    bool stop = false;
    std::uint64_t reads = 0;
    const auto both = [&]() -> Task<Result<void>> {
        int started = 0;
        auto next = [&]() -> std::optional<Task<Result<void>>> {
            switch (started++) {
                case 0:
                    return flush_then_stop(*file, stop);
                case 1:
                    return read_until(*file, stop, reads);
                default:
                    return std::nullopt;
            }
        };
        Result<void> done = co_await when_all(2, next);
        co_return done;
    };
    EXPECT_TRUE(loop->run(both()));
    EXPECT_GT(reads, 0U);
}

// A coroutine that only yields must not starve requests either.
TEST_F(UringLoopTest, YieldingDoesNotStarveRequests) {
    const auto file = make_file(true, 4096);
    const auto loop = test::make_loop();
    bool stop = false;
    const auto yielder = [&stop]() -> Task<Result<void>> {
        while (!stop)
            co_await yield();
        co_return Result<void>{};
    };
    const auto both = [&]() -> Task<Result<void>> {
        int started = 0;
        auto next = [&]() -> std::optional<Task<Result<void>>> {
            switch (started++) {
                case 0:
                    return yielder();
                case 1:
                    return flush_then_stop(*file, stop);
                default:
                    return std::nullopt;
            }
        };
        Result<void> done = co_await when_all(2, next);
        co_return done;
    };
    EXPECT_TRUE(loop->run(both()));
}

// Another thread holds the lock while the loop sleeps; the post must wake the loop.
TEST_F(UringLoopTest, APostFromAnotherThreadWakesASleepingLoop) {
    for (int round = 0; round < 200; ++round) {
        AsyncMutex mutex;
        const auto loop = test::make_loop({.entries = 8});
        ASSERT_TRUE(mutex.try_lock());
        std::atomic<bool> is_waiting = false;
        const auto waiter = [&]() -> Task<Result<void>> {
            is_waiting = true;
            AsyncMutex::Guard guard = co_await mutex.lock();
            co_return Result<void>{};
        };
        std::thread other([&] {
            while (!is_waiting)
                std::this_thread::yield();
            mutex.unlock();
        });
        EXPECT_TRUE(loop->run(waiter()));
        other.join();
    }
}

#if !QED_TEST_SANITIZED
/// From now on this process cannot make a system call.
bool forbid(int call, int error) {
    const auto answer = SECCOMP_RET_ERRNO | static_cast<unsigned>(error);
    std::array<sock_filter, 4> code = {{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    const sock_fprog program{code.size(), code.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/// The exit status of a child process that a filter cannot follow out of.
template <class Body>
int in_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

constexpr int kNoFilters = 77;

Task<Result<void>> take_turn(AsyncMutex& mutex) {
    const AsyncMutex::Guard guard = co_await mutex.lock();
    co_return Result<void>{};
}

TEST_F(UringLoopTest, RequestsFailWhenTheKernelTakesNoMore) {
    const auto file = make_file(false, 1 << 20);
    for (const int error : {EPERM, ENOMEM, ENOSYS, EBADF}) {
        for (const int call : {SYS_io_uring_enter, SYS_io_uring_register}) {
            const int status = in_child([&] {
                const auto loop = test::make_loop({.entries = 4, .try_inline_reads = false});
                std::vector<std::byte> read(content.size());
                const bool begins = call == SYS_io_uring_enter;
                if (begins && !loop->run(read_in_pieces(*file, read, 4096, 32))) return 1;
                if (!forbid(call, error)) return kNoFilters;
                // Twice: those that find it out, and those that come later.
                for (int i = 0; i < 2; ++i) {
                    const auto done = loop->run(read_in_pieces(*file, read, 4096, 32));
                    if (done || done.error().sys_errno() != error) return 2;
                }
                return 0;
            });
            if (status == kNoFilters) GTEST_SKIP() << "this kernel takes no seccomp filter";
            EXPECT_EQ(status, 0) << "errno " << error << ", call " << call;
        }
    }
}

TEST_F(UringLoopTest, OtherThreadsStillWakeALoopWithoutAKernel) {
    const auto file = make_file(false, 4096);
    const int status = in_child([&] {
        const auto loop = test::make_loop({.entries = 4, .try_inline_reads = false});
        if (!forbid(SYS_io_uring_enter, EPERM)) return kNoFilters;
        std::vector<std::byte> read(4096);
        if (loop->run(test::await_op(file->read(FileOffset{0}, read)))) return 1;
        AsyncMutex mutex;
        if (!mutex.try_lock()) return 2;
        std::thread other([&] { mutex.unlock(); });
        const auto done = loop->run(take_turn(mutex));
        other.join();
        return done ? 0 : 3;
    });
    if (status == kNoFilters) GTEST_SKIP() << "this kernel takes no seccomp filter";
    EXPECT_EQ(status, 0);
}
#endif

}  // namespace
}  // namespace qed
