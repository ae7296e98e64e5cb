// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "coro/async_mutex.hpp"
#include "coro/when_all.hpp"
#include "support/io_ways.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::Way;

constexpr std::size_t kThreads = 4;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kSlotBytes = 1500;  // slots share blocks
constexpr int kRounds = 60;

struct Shared {
    std::unique_ptr<BlockFile> file;
    AsyncMutex mutex;
    std::vector<std::uint64_t> turns = std::vector<std::uint64_t>(kThreads);  // under the mutex
    std::uint64_t total = 0;                                                  // under the mutex
};

/// One coroutine's slot of the file. Only this coroutine writes to it, and must always read its own
/// data.
Task<Result<void>> work_on_slot(Shared& shared, std::size_t thread, std::size_t lane) {
    std::minstd_rand random(static_cast<unsigned>(1 + thread * kLanes + lane));
    const FileOffset at{(thread * kLanes + lane) * kSlotBytes};
    std::vector<std::byte> read(kSlotBytes);
    for (int round = 0; round < kRounds; ++round) {
        const auto bytes = test::pattern(kSlotBytes, random());
        QED_CO_CHECK(co_await shared.file->write(at, bytes));
        if (random() % 8 == 0) QED_CO_CHECK(co_await shared.file->flush());
        {
            AsyncMutex::Guard guard = co_await shared.mutex.lock();
            ++shared.turns[thread];
            ++shared.total;
            if (random() % 4 == 0) co_await yield();
            if (random() % 16 == 0) QED_CO_CHECK(co_await shared.file->read(at, read));
        }
        QED_CO_CHECK(co_await shared.file->read(at, read));
        if (read != bytes) co_return fail(Errc::io_error, "read other bytes than were written");
    }
    co_return Result<void>{};
}

Task<Result<void>> work(Shared& shared, std::size_t thread) {
    std::size_t lane = 0;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (lane == kLanes) return std::nullopt;
        return work_on_slot(shared, thread, lane++);
    };
    Result<void> done = co_await when_all(kLanes, next);
    co_return done;
}

class IoStress : public ::testing::TestWithParam<bool> {};

// Blocking threads and rings, many coroutines each, one file, one mutex.
TEST_P(IoStress, ThreadsRingsAndCoroutinesShareAFileAndAMutex) {
    const test::TempDir dir;
    FileOptions options;
    options.writable = true;
    options.create = true;
    options.direct = GetParam();
    Shared shared;
    shared.file = test::open_or_throw(dir.file("disk"), options);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
        threads.emplace_back([&shared, i] {
            test::Runner runner(i % 4 == 0 ? Way::in_sync_wait : Way::in_uring,
                                {.entries = 4, .try_inline_reads = i % 2 == 0});
            const Result<void> done = runner.run_task(work(shared, i));
            EXPECT_TRUE(done) << done.error().message();
        });
    }
    std::ranges::for_each(threads, &std::thread::join);
    EXPECT_EQ(shared.total, kThreads * kLanes * kRounds);
    EXPECT_EQ(shared.turns, std::vector<std::uint64_t>(kThreads, kLanes * kRounds));
    EXPECT_EQ(shared.file->size(), kThreads * kLanes * kSlotBytes);
}

INSTANTIATE_TEST_SUITE_P(PageCache, IoStress, ::testing::Values(false, true),
                         [](const auto& test) { return test.param ? "direct" : "buffered"; });

}  // namespace
}  // namespace qed
