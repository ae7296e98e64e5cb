// SPDX-License-Identifier: Apache-2.0
// The costs of the coroutine layer: frames, awaits, posts, locks.
#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

#include <benchmark/benchmark.h>

#include "coro/async_mutex.hpp"
#include "qed/executor.hpp"
#include "qed/files.hpp"
#include "qed/task.hpp"

namespace {

using qed::Result;
using qed::Task;

constexpr int kBatch = 1000;  // awaits inside one sync_wait(), so that its cost is shared

[[gnu::noinline]] Result<int> plain(int value) {
    benchmark::DoNotOptimize(value);
    return value;
}

[[gnu::noinline]] Task<Result<int>> one(int value) {
    benchmark::DoNotOptimize(value);
    co_return value;
}

[[gnu::noinline]] Task<Result<int>> two(int value) {
    Result<int> inner = co_await one(value);
    co_return *inner + 1;
}

template <class Body>
void run_batches(benchmark::State& state, Body body) {
    for (auto _ : state) {
        Result<int> done = qed::sync_wait(body());
        benchmark::DoNotOptimize(done);
    }
    state.SetItemsProcessed(state.iterations() * kBatch);
}

void function_call(benchmark::State& state) {
    for (auto _ : state) {
        for (int i = 0; i < kBatch; ++i)
            benchmark::DoNotOptimize(plain(i));
    }
    state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(function_call);

void one_task(benchmark::State& state) {
    run_batches(state, []() -> Task<Result<int>> {
        int sum = 0;
        for (int i = 0; i < kBatch; ++i) {
            Result<int> value = co_await one(i);
            sum += *value;
        }
        co_return sum;
    });
}
BENCHMARK(one_task);

void two_nested_tasks(benchmark::State& state) {
    run_batches(state, []() -> Task<Result<int>> {
        int sum = 0;
        for (int i = 0; i < kBatch; ++i) {
            Result<int> value = co_await two(i);
            sum += *value;
        }
        co_return sum;
    });
}
BENCHMARK(two_nested_tasks);

void sync_wait_of_one_task(benchmark::State& state) {
    for (auto _ : state) {
        Result<int> value = qed::sync_wait(one(1));
        benchmark::DoNotOptimize(value);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sync_wait_of_one_task);

Task<Result<int>> yield_often() {
    for (int i = 0; i < kBatch; ++i)
        co_await qed::yield();
    co_return 0;
}

void post_to_blocking_executor(benchmark::State& state) {
    run_batches(state, yield_often);
}
BENCHMARK(post_to_blocking_executor);

void post_to_own_uring_loop(benchmark::State& state) {
    auto loop = qed::UringLoop::create({});
    if (!loop) {
        state.SkipWithError(loop.error().message().c_str());
        return;
    }
    for (auto _ : state) {
        Result<int> done = (*loop)->run(yield_often());
        benchmark::DoNotOptimize(done);
    }
    state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(post_to_own_uring_loop);

void lock_free_mutex(benchmark::State& state) {
    qed::AsyncMutex mutex;
    run_batches(state, [&mutex]() -> Task<Result<int>> {
        for (int i = 0; i < kBatch; ++i) {
            qed::AsyncMutex::Guard guard = co_await mutex.lock();
            benchmark::ClobberMemory();
        }
        co_return 0;
    });
}
BENCHMARK(lock_free_mutex);

/// Two threads pass one lock back and forth: each pass is a post to a sleeping executor.
Task<Result<int>> take_turns(qed::AsyncMutex& mutex, const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed)) {
        qed::AsyncMutex::Guard guard = co_await mutex.lock();
        co_await qed::yield();
    }
    co_return 0;
}

Task<Result<int>> take_some_turns(qed::AsyncMutex& mutex) {
    for (int i = 0; i < kBatch; ++i) {
        qed::AsyncMutex::Guard guard = co_await mutex.lock();
        co_await qed::yield();
    }
    co_return 0;
}

void contended_mutex_across_threads(benchmark::State& state) {
    qed::AsyncMutex mutex;
    std::atomic<bool> stop = false;
    std::thread other([&] { benchmark::DoNotOptimize(qed::sync_wait(take_turns(mutex, stop))); });
    run_batches(state, [&mutex] { return take_some_turns(mutex); });
    stop = true;
    other.join();
}
BENCHMARK(contended_mutex_across_threads)->UseRealTime();

}  // namespace
