// SPDX-License-Identifier: Apache-2.0
// Two toy engines that keep one block with a write-ahead copy. One flushes between writing the copy
// and writing the block itself, the other does not. The explorer must find the difference.
#include <cstring>

#include <gmock/gmock.h>

#include "sim/crash_states.hpp"
#include "sim/reference_disk.hpp"
#include "sim/sim_file.hpp"

namespace qed::sim {
namespace {

constexpr std::uint64_t kBlock = 1024;  // two sectors that must change together
constexpr std::uint64_t kCopyAt = 0;
constexpr std::uint64_t kSealAt = 4096;  // holds the hash of a complete copy
constexpr std::uint64_t kHomeAt = 8192;

std::vector<std::byte> seal_of(std::span<const std::byte> block) {
    std::vector<std::byte> seal(512);
    const std::uint64_t hash = hash_bytes(block);
    std::memcpy(seal.data(), &hash, sizeof hash);
    return seal;
}

/// Writes a sealed copy, then overwrites the block in its home.
Task<Result<void>> update(SimFile& file, std::vector<std::byte> block, bool flushes_first) {
    const auto seal = seal_of(block);
    QED_CO_CHECK(co_await file.write(FileOffset{kCopyAt}, block));
    QED_CO_CHECK(co_await file.write(FileOffset{kSealAt}, seal));
    if (flushes_first) QED_CO_CHECK(co_await file.flush());
    QED_CO_CHECK(co_await file.write(FileOffset{kHomeAt}, block));
    QED_CO_CHECK(co_await file.flush());
    co_return Result<void>{};
}

/// The block after a power cut: the copy if its seal matches, else the block in its home.
std::vector<std::byte> recover(const FileContent& file) {
    std::vector<std::byte> copy(kBlock);
    std::vector<std::byte> seal(512);
    file.read(kCopyAt, copy);
    file.read(kSealAt, seal);
    if (seal != seal_of(copy)) file.read(kHomeAt, copy);
    return copy;
}

struct Outcome {
    std::uint64_t states = 0;
    std::vector<std::string> faults;
};

Outcome explore(bool flushes_first) {
    World world(7);
    const auto storage = std::make_shared<Storage>(FileContent{});
    storage->record_crash_points();
    SimFile file(world, storage, {.is_inline = true});
    ReferenceDisk disk(world, kBlock, FileContent{});
    std::vector<std::vector<std::byte>> blocks;
    for (int round = 0; round < 3; ++round) {
        blocks.push_back(disk.unique_data(0, kBlock));
        const auto write = disk.begin_write(0, blocks.back());
        disk.end(write, world.run(update(file, blocks.back(), flushes_first)).has_value());
        disk.make_durable(write);
    }
    auto points = storage->take_crash_points();
    points.push_back(storage->crash_point(world.tick()));

    Outcome outcome;
    for (const CrashPoint& point : points) {
        const auto coverage = CrashStates(point, 1).visit({}, [&](const CrashState& state) {
            const auto found = recover(state.content);
            auto fault = disk.fault_after_cut(0, found, state.first, state.last);
            const bool is_mixed = std::ranges::find(blocks, found) == blocks.end() &&
                                  found != std::vector<std::byte>(kBlock);
            if (!fault && is_mixed) fault = "half of one block and half of another";
            if (fault) outcome.faults.push_back(*fault);
        });
        outcome.states += coverage.states;
    }
    return outcome;
}

TEST(ToyEngineTest, TheOneThatFlushesFirstSurvivesEveryPowerCut) {
    const Outcome outcome = explore(true);

    EXPECT_GE(outcome.states, 50u);
    EXPECT_THAT(outcome.faults, testing::IsEmpty());
}

TEST(ToyEngineTest, TheOneThatDoesNotIsCaught) {
    EXPECT_THAT(explore(false).faults, testing::Not(testing::IsEmpty()));
}

}  // namespace
}  // namespace qed::sim
