// SPDX-License-Identifier: Apache-2.0
// Backends that complete requests on threads of their own.
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "qed/block_file.hpp"
#include "support/io_ways.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

/// Runs requests on threads of its own, and completes them there.
class ThreadedFile final : public BlockFile {
public:
    explicit ThreadedFile(unsigned threads) {
        for (unsigned i = 0; i < threads; ++i)
            threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
    bool start(IoOp& op) noexcept override {
        if (op.waiter.home == nullptr) return memory.start(op);
        {
            const std::scoped_lock lock(mutex_);
            waiting_.push_back(&op);
        }
        arrived_.notify_one();
        return true;
    }
    Result<std::uint64_t> size() noexcept override { return memory.size(); }
    bool is_read_only() const noexcept override { return false; }
    std::string_view name() const noexcept override { return "threaded"; }

    test::MemoryFile memory;

private:
    void work(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (arrived_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
            IoOp* const op = waiting_.front();
            waiting_.pop_front();
            lock.unlock();
            static_cast<void>(memory.start(*op));
            op->complete_from_any_thread();
            lock.lock();
        }
    }
    std::mutex mutex_;
    std::condition_variable_any arrived_;
    std::deque<IoOp*> waiting_;
    std::vector<std::jthread> threads_;  // last: they use the members above
};

Task<Result<void>> copy_sectors(BlockFile& file, std::thread::id home, unsigned rounds) {
    std::vector<std::byte> sector(512);
    for (unsigned round = 0; round < rounds; ++round) {
        std::ranges::fill(sector, static_cast<std::byte>(round));
        QED_CO_CHECK(co_await file.write(FileOffset{round * 512}, sector));
        EXPECT_EQ(std::this_thread::get_id(), home);
        std::ranges::fill(sector, std::byte{0xee});
        QED_CO_CHECK(co_await file.read(FileOffset{round * 512}, sector));
        EXPECT_EQ(sector[511], static_cast<std::byte>(round));
    }
    co_return {};
}

Task<Result<void>> read_in_batches(BlockFile& file, std::thread::id home, unsigned rounds) {
    constexpr std::size_t kCount = 8;
    std::array<std::array<std::byte, 512>, kCount> sectors{};
    for (unsigned round = 0; round < rounds; ++round) {
        std::array<IoOp, kCount> ops;
        for (std::size_t i = 0; i < kCount; ++i) {
            sectors[i].fill(std::byte{0xee});
            ops[i] = file.read(FileOffset{i * 512}, sectors[i]);
        }
        Result<void> done = co_await IoBatch{ops.data(), ops.size()};
        EXPECT_EQ(std::this_thread::get_id(), home);
        if (!done) co_return done;
        for (std::size_t i = 0; i < kCount; ++i)
            EXPECT_EQ(sectors[i][0], static_cast<std::byte>(i));
    }
    co_return {};
}

class CompletionTest : public ::testing::TestWithParam<test::Way> {};
INSTANTIATE_TEST_SUITE_P(Ways, CompletionTest,
                         ::testing::Values(test::Way::in_sync_wait, test::Way::in_uring),
                         ::testing::PrintToStringParamName());

TEST_P(CompletionTest, CoroutineResumesOnItsHomeThread) {
    ThreadedFile file(3);
    test::Runner runner(GetParam());
    const auto home = std::this_thread::get_id();
    EXPECT_TRUE(runner.run_task(copy_sectors(file, home, 200)));
    EXPECT_TRUE(runner.run_task(read_in_batches(file, home, 200)));
}

TEST_P(CompletionTest, FailureReachesTheCoroutine) {
    ThreadedFile file(1);
    file.memory.fault = test::MemoryFile::Fault{.nth = 1, .error = ENOSPC};
    test::Runner runner(GetParam());
    const auto done = runner.run_task(copy_sectors(file, std::this_thread::get_id(), 1));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::no_space);
}

}  // namespace
}  // namespace qed
