// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/copy_pipeline.hpp"

#include <atomic>
#include <cstdint>
#include <latch>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace qed {
namespace {

using Task = CopyPipeline::Task;

void expect_job(CopyPipeline& ring, Task task, std::size_t slot) {
    const auto job = ring.next();
    EXPECT_EQ(job.task, task);
    EXPECT_EQ(job.slot, slot);
}

TEST(CopyPipelineTest, OneSlotTakesOnePieceAfterTheOther) {
    CopyPipeline ring(1, 1);
    for (int piece = 0; piece < 3; ++piece) {
        expect_job(ring, Task::plan, 0);
        ring.planned(0);
        ring.filled(0);
        expect_job(ring, Task::place, 0);
        ring.placed();
        ring.stored(0);
    }
    expect_job(ring, Task::plan, 0);
    ring.planned_all();
    expect_job(ring, Task::none, 0);
}

TEST(CopyPipelineTest, ReadsAheadWhileAPieceIsBeingStored) {
    CopyPipeline ring(3, 1);
    expect_job(ring, Task::plan, 0);
    ring.planned(0);
    ring.filled(0);
    expect_job(ring, Task::place, 0);  // one thread stores this; another one asks:
    expect_job(ring, Task::plan, 1);
    ring.planned(1);
    ring.filled(1);
    expect_job(ring, Task::plan, 2);
    ring.planned(2);
    ring.filled(2);
    ring.placed();
    ring.stored(0);
    expect_job(ring, Task::place, 1);
}

TEST(CopyPipelineTest, PlacesPiecesInTheirOrderThoughALaterOneIsFilledFirst) {
    CopyPipeline ring(2, 2);
    expect_job(ring, Task::plan, 0);
    ring.planned(0);
    expect_job(ring, Task::plan, 1);
    ring.planned(1);
    ring.filled(1);
    ring.filled(0);
    expect_job(ring, Task::place, 0);
    ring.placed();
    expect_job(ring, Task::place, 1);  // while the first is still being stored
}

TEST(CopyPipelineTest, GivesNoMoreJobsOnceStopped) {
    CopyPipeline ring(2, 1);
    expect_job(ring, Task::plan, 0);
    ring.planned(0);
    std::latch is_ahead(1);
    std::thread other([&] {
        expect_job(ring, Task::plan, 1);
        ring.planned(1);
        ring.filled(1);
        is_ahead.count_down();
        expect_job(ring, Task::none, 0);  // the first piece is never filled
    });
    is_ahead.wait();
    ring.stop();
    other.join();
    expect_job(ring, Task::none, 0);
}

/// Takes jobs until there are none, and counts violations.
struct Workers {
    Workers(std::size_t slots, std::size_t writers, std::uint64_t pieces)
        : ring(slots, writers), writers_allowed(writers), count(pieces), held(slots) {}

    void work() {
        while (true) {
            const auto [task, slot] = ring.next();
            if (task == Task::none) return;
            if (task == Task::plan) {
                if (next == count) {
                    ring.planned_all();
                    continue;
                }
                held[slot] = next++;
                ring.planned(slot);
                ring.filled(slot);
                continue;
            }
            if (writing.fetch_add(1) >= writers_allowed) ++too_many;
            order.push_back(held[slot]);
            ring.placed();
            writing.fetch_sub(1);
            ring.stored(slot);
        }
    }

    CopyPipeline ring;
    const std::size_t writers_allowed;
    const std::uint64_t count;
    std::uint64_t next = 0;            // of the thread that plans
    std::vector<std::uint64_t> order;  // of the thread that places
    std::vector<std::uint64_t> held;
    std::atomic<std::size_t> writing{0};
    std::atomic<int> too_many{0};
};

TEST(CopyPipelineTest, ManyThreadsPlaceEveryPieceOnceAndInOrder) {
    for (const std::size_t writers : {1U, 3U}) {
        Workers workers(8, writers, 5000);
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&workers] { workers.work(); });
        threads.clear();
        ASSERT_EQ(workers.order.size(), 5000U);
        for (std::uint64_t piece = 0; piece < 5000; ++piece)
            ASSERT_EQ(workers.order[piece], piece);
        EXPECT_EQ(workers.too_many, 0);
    }
}

}  // namespace
}  // namespace qed
