// SPDX-License-Identifier: Apache-2.0
// The simulator itself: the disk loses exactly the data that it may lose, and the world replays a
// run.
#include <gmock/gmock.h>

#include "sim/crash_states.hpp"
#include "sim/reference_disk.hpp"
#include "sim/sim_file.hpp"
#include "sim/storage.hpp"
#include "sim/world.hpp"

namespace qed::sim {
namespace {

using testing::HasSubstr;

std::vector<std::byte> filled(std::size_t bytes, int value) {
    return std::vector<std::byte>(bytes, static_cast<std::byte>(value));
}

int byte_at(const FileContent& content, std::uint64_t at) {
    std::array<std::byte, 1> one{};
    content.read(at, one);
    return static_cast<int>(one[0]);
}

FileContent file_of(std::size_t bytes, int value) {
    FileContent content;
    content.write(0, filled(bytes, value));
    return content;
}

void write(Storage& storage, World& world, std::uint64_t at, std::size_t bytes, int value) {
    const auto change = storage.begin_write(world.tick(), at, filled(bytes, value));
    storage.take_effect(change);
    storage.complete(change, world.tick());
}

void flush(Storage& storage, World& world) {
    const std::uint64_t begun = world.tick();
    storage.finish_flush(begun, world.tick());
}

TEST(FileContentTest, ACopyKeepsItsBytesWhenTheOriginalIsWritten) {
    FileContent original = file_of(10000, 1);
    const FileContent copy = original;

    original.write(5000, filled(10, 2));
    original.resize(6000);

    EXPECT_EQ(byte_at(copy, 5000), 1);
    EXPECT_EQ(byte_at(copy, 9999), 1);
    EXPECT_EQ(byte_at(original, 5000), 2);
    EXPECT_NE(copy.hash(), original.hash());
}

TEST(FileContentTest, BytesCutOffAreZeroWhenTheFileGrowsAgain) {
    FileContent content = file_of(10000, 1);

    content.resize(100);
    content.resize(10000);

    EXPECT_EQ(byte_at(content, 99), 1);
    EXPECT_EQ(byte_at(content, 100), 0);
    EXPECT_EQ(byte_at(content, 9000), 0);
}

TEST(FileContentTest, EqualBytesHaveEqualHashesWhateverTheirHistory) {
    FileContent written;
    written.write(0, filled(8192, 0));
    FileContent extended;
    extended.resize(8192);

    EXPECT_EQ(written.hash(), extended.hash());
}

TEST(StorageTest, AFlushMakesDurableWhatWasCompleteWhenItBegan) {
    World world(1);
    Storage storage(file_of(4096, 0));
    write(storage, world, 0, 512, 1);
    const auto in_flight = storage.begin_write(world.tick(), 512, filled(512, 2));
    const std::uint64_t begun = world.tick();
    storage.take_effect(in_flight);
    storage.complete(in_flight, world.tick());

    storage.finish_flush(begun, world.tick());

    EXPECT_EQ(byte_at(storage.durable(), 0), 1);
    EXPECT_EQ(byte_at(storage.durable(), 512), 0);
    EXPECT_EQ(byte_at(storage.current(), 512), 2);
}

TEST(StorageTest, WhatAFailedFlushShouldHaveCoveredIsNotCoveredByTheNextOne) {
    World world(1);
    Storage storage(file_of(4096, 0));
    write(storage, world, 0, 512, 1);
    storage.fail_flush(world.tick());

    flush(storage, world);

    EXPECT_EQ(byte_at(storage.durable(), 0), 0);
    EXPECT_EQ(byte_at(storage.current(), 0), 1);
}

TEST(StorageTest, AnOlderWriteThatWasOvertakenCannotComeBack) {
    World world(1);
    Storage storage(file_of(512, 0));
    const auto slow = storage.begin_write(world.tick(), 0, filled(512, 1));
    storage.take_effect(slow);  // in effect, but not complete
    write(storage, world, 0, 512, 2);

    flush(storage, world);

    std::set<int> values;
    const CrashPoint point = storage.crash_point(world.tick());
    CrashStates(point, 1).visit(
        {}, [&](const CrashState& state) { values.insert(byte_at(state.content, 0)); });
    EXPECT_EQ(values, std::set<int>{2});
}

TEST(StorageTest, AFailedWriteHidesNothingWhereItDidNotArrive) {
    World world(1);
    Storage storage(file_of(1024, 0));
    const auto slow = storage.begin_write(world.tick(), 0, filled(1024, 1));
    storage.take_effect(slow);
    const auto torn = storage.begin_write(world.tick(), 0, filled(1024, 2));
    bool keeps = false;
    storage.take_partial_effect(torn, [&keeps] { return keeps = !keeps; });  // the first sector
    storage.complete(torn, world.tick());
    flush(storage, world);
    storage.complete(slow, world.tick());

    flush(storage, world);

    EXPECT_EQ(byte_at(storage.durable(), 0), 2);
    EXPECT_EQ(byte_at(storage.durable(), 512), 1);
}

TEST(CrashStatesTest, EveryCombinationOfTornSectorsIsFound) {
    World world(1);
    Storage storage(file_of(4096, 0));
    write(storage, world, 0, 1024, 1);
    write(storage, world, 512, 512, 2);

    std::set<std::pair<int, int>> found;
    const CrashPoint point = storage.crash_point(world.tick());
    const CrashCoverage coverage = CrashStates(point, 1).visit({}, [&](const CrashState& state) {
        found.emplace(byte_at(state.content, 0), byte_at(state.content, 512));
    });

    EXPECT_TRUE(coverage.is_exhaustive);
    EXPECT_THAT(found,
                testing::UnorderedElementsAre(std::pair{0, 0}, std::pair{0, 1}, std::pair{0, 2},
                                              std::pair{1, 0}, std::pair{1, 1}, std::pair{1, 2}));
}

TEST(CrashStatesTest, DataPastALostExtensionIsLost) {
    World world(1);
    Storage storage(file_of(512, 7));
    write(storage, world, 512, 1024, 1);

    std::set<std::uint64_t> lengths;
    const CrashPoint point = storage.crash_point(world.tick());
    CrashStates(point, 1).visit({}, [&](const CrashState& state) {
        lengths.insert(state.content.size());
        EXPECT_EQ(byte_at(state.content, 0), 7);
    });
    EXPECT_THAT(lengths, testing::IsSupersetOf({512u, 1536u}));
}

TEST(CrashStatesTest, DataThatWasCutOffDoesNotReturnWithANewLength) {
    World world(1);
    Storage storage(file_of(2048, 7));
    for (const std::uint64_t bytes : {512u, 2048u}) {
        const auto change = storage.begin_resize(world.tick(), bytes);
        storage.take_effect(change);
        storage.complete(change, world.tick());
    }

    std::set<std::pair<std::uint64_t, int>> found;
    const CrashPoint point = storage.crash_point(world.tick());
    CrashStates(point, 1).visit({}, [&](const CrashState& state) {
        found.emplace(state.content.size(), byte_at(state.content, 1024));
    });
    EXPECT_THAT(found, testing::IsSupersetOf({std::pair<std::uint64_t, int>{2048, 7},
                                              std::pair<std::uint64_t, int>{512, 0},
                                              std::pair<std::uint64_t, int>{2048, 0}}));
    EXPECT_THAT(found, testing::Not(testing::Contains(std::pair<std::uint64_t, int>{512, 7})));
}

TEST(CrashStatesTest, PastTheLimitSamplesTakeOver) {
    World world(1);
    Storage storage(FileContent{});
    write(storage, world, 0, 64 * 512, 1);

    const CrashPoint point = storage.crash_point(world.tick());
    const CrashCoverage coverage =
        CrashStates(point, 1).visit({.samples = 50}, [](const CrashState&) {});

    EXPECT_FALSE(coverage.is_exhaustive);
    EXPECT_GT(coverage.states, 25u);
}

TEST(ReferenceDiskTest, AFlushedValueMustSurviveAndAnUnflushedOneMay) {
    World world(1);
    ReferenceDisk disk(world, 4096, FileContent{});
    const auto first = disk.unique_data(0, 512);
    disk.end(disk.begin_write(0, first), true);
    disk.end_flush(world.tick());
    const auto second = disk.unique_data(0, 512);
    const auto write = disk.begin_write(0, second);
    const std::uint64_t now = world.tick();

    EXPECT_FALSE(disk.fault_after_cut(0, first, now, now));
    EXPECT_FALSE(disk.fault_after_cut(0, second, now, now));
    const auto lost = disk.fault_after_cut(0, filled(512, 0), now, now);
    ASSERT_TRUE(lost);
    EXPECT_THAT(*lost, HasSubstr("sector 0 holds zeroes"));

    disk.end(write, true);
    disk.make_durable(write);
    EXPECT_TRUE(disk.fault_after_cut(0, first, world.tick(), world.tick()));
}

TEST(ReferenceDiskTest, AnotherSectorsDataIsRecognised) {
    World world(1);
    ReferenceDisk disk(world, 4096, FileContent{});
    const auto data = disk.unique_data(512, 512);
    disk.end(disk.begin_write(512, data), true);

    const auto fault = disk.fault_in_read(1024, data, world.tick());

    ASSERT_TRUE(fault);
    EXPECT_THAT(*fault, HasSubstr("sector 2 holds write 1 of sector 1"));
}

TEST(ReferenceDiskTest, WritesThatOverlapInTimeHaveNoOrder) {
    World world(1);
    ReferenceDisk disk(world, 4096, FileContent{});
    const auto a = disk.unique_data(0, 512);
    const auto b = disk.unique_data(0, 512);
    const auto write_a = disk.begin_write(0, a);
    const auto write_b = disk.begin_write(0, b);
    disk.end(write_b, true);
    disk.end(write_a, true);

    EXPECT_FALSE(disk.fault_in_read(0, a, world.tick()));
    EXPECT_FALSE(disk.fault_in_read(0, b, world.tick()));
    EXPECT_TRUE(disk.fault_in_read(0, filled(512, 0), world.tick()));
}

TEST(ReferenceDiskTest, ADiscardInFlightMayWinOverAWriteThatBeganLater) {
    World world(1);
    ReferenceDisk disk(world, 4096, FileContent{});
    const auto discard = disk.begin_zero(0, 4096);
    const auto data = disk.unique_data(512, 512);
    disk.end(disk.begin_write(512, data), true);
    disk.end(discard, true);

    EXPECT_FALSE(disk.fault_in_read(512, filled(512, 0), world.tick()));
    EXPECT_FALSE(disk.fault_in_read(512, data, world.tick()));
}

TEST(ReferenceDiskTest, PartOfASectorIsWrittenOverWhatIsThere) {
    World world(1);
    ReferenceDisk disk(world, 4096, FileContent{});
    auto sector = disk.unique_data(0, 512);
    disk.end(disk.begin_write(0, sector), true);
    disk.end(disk.begin_write(100, filled(8, 9)), true);
    std::fill_n(sector.begin() + 100, 8, std::byte{9});

    EXPECT_FALSE(disk.fault_in_read(0, sector, world.tick()));
    sector[108] = std::byte{9};
    EXPECT_TRUE(disk.fault_in_read(0, sector, world.tick()));
}

TEST(ReferenceDiskTest, GrownSpaceIsZeroAlsoWhereTheBaseIsLonger) {
    World world(1);
    FileContent base = file_of(4096, 0);
    std::vector<std::byte> stamped(512);
    stamp_sector(stamped, 1, 6);
    base.write(3072, stamped);
    ReferenceDisk disk(world, 2048, base);

    disk.end(disk.begin_resize(4096), true);

    EXPECT_TRUE(disk.fault_in_read(3072, stamped, world.tick()));
    EXPECT_FALSE(disk.fault_in_read(3072, filled(512, 0), world.tick()));
    EXPECT_TRUE(disk.is_size_allowed(4096, world.tick(), world.tick()));
    EXPECT_TRUE(disk.is_size_allowed(2048, world.tick(), world.tick()));
    EXPECT_FALSE(disk.is_size_allowed(1024, world.tick(), world.tick()));
}

Task<Result<void>> write_and_read(SimFile& file, std::uint64_t at, int value) {
    const auto data = filled(512, value);
    QED_CO_CHECK(co_await file.write(FileOffset{at}, data));
    auto back = filled(512, 0);
    QED_CO_CHECK(co_await file.read(FileOffset{at}, back));
    if (back != data) co_return fail(Errc::io_error, "not what was written");
    QED_CO_CHECK(co_await file.flush());
    co_return Result<void>{};
}

std::uint64_t trace_of(std::uint64_t seed) {
    World world(seed);
    SimFile file(world, std::make_shared<Storage>(FileContent{}), {});
    for (int task = 0; task < 8; ++task) {
        world.spawn(write_and_read(file, static_cast<std::uint64_t>(task) * 512, task + 1),
                    [] { return "a writer"; });
    }
    EXPECT_TRUE(world.run());
    EXPECT_TRUE(world.is_idle());
    return world.trace_hash();
}

TEST(WorldTest, TheSameSeedGivesTheSameTraceAndAnotherOneDoesNot) {
    EXPECT_EQ(trace_of(1), trace_of(1));
    EXPECT_NE(trace_of(1), trace_of(2));
}

Task<Result<void>> wait_for_ever(WaiterQueue& queue) {
    struct Wait {
        WaiterQueue& queue;
        Waiter waiter{};
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) noexcept {
            waiter.handle = handle;
            queue.push(waiter);
        }
        void await_resume() const noexcept {}
    };
    Wait wait{.queue = queue};
    co_await wait;
    co_return Result<void>{};
}

TEST(WorldTest, ATaskThatWaitsForNothingIsReportedByName) {
    World world(1);
    WaiterQueue queue;
    world.spawn(wait_for_ever(queue), [] { return "the one that waits"; });

    EXPECT_TRUE(world.run());

    EXPECT_THAT(world.unfinished(), testing::ElementsAre("the one that waits"));
    queue.pop()->handle.resume();  // so that its frame is freed
    EXPECT_TRUE(world.run());
}

TEST(SimFileTest, TheNthRequestFailsAndOnlyThatOne) {
    World world(1);
    FaultPlan faults{.fail_at = 2, .kinds = io_bit(IoKind::write)};
    SimFile file(world, std::make_shared<Storage>(FileContent{}), {.faults = &faults});
    std::vector<bool> outcomes;
    for (int round = 0; round < 3; ++round)
        outcomes.push_back(world.run(write_and_read(file, 0, round + 1)).has_value());

    EXPECT_THAT(outcomes, testing::ElementsAre(true, false, true));
    EXPECT_EQ(faults.injected, 1u);
}

TEST(SimFileTest, WithoutPowerEveryRequestFailsAndNothingChanges) {
    World world(1);
    Power power;
    const auto storage = std::make_shared<Storage>(FileContent{});
    SimFile file(world, storage, {.power = &power});
    world.spawn(write_and_read(file, 0, 1), [] { return "a writer"; });
    power.is_on = false;

    EXPECT_TRUE(world.run());

    EXPECT_TRUE(world.is_idle());
    EXPECT_EQ(storage->size(), 0u);
}

}  // namespace
}  // namespace qed::sim
