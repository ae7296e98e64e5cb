// SPDX-License-Identifier: Apache-2.0
// Bugs that the explorers have found in the engine, each with the shortest scenario that shows it.
#include <gmock/gmock.h>

#include "sim/crash_states.hpp"
#include "sim/machine.hpp"
#include "sim/qed_parser.hpp"
#include "sim/reference_disk.hpp"
#include "sim/session.hpp"

namespace qed::sim {
namespace {

ImageSetup setup_of(WriteOrder order, std::uint64_t image_bytes = 8 * 4096) {
    return {.image_bytes = image_bytes, .order = order, .base = {}};
}

/// A machine with an open, empty image.
struct Stage {
    explicit Stage(const ImageSetup& setup, std::uint64_t seed = 1)
        : world(seed), machine(world, setup, FileContent{}, false) {
        EXPECT_TRUE(machine.format());
        EXPECT_TRUE(machine.open());
    }
    ~Stage() { machine.kill(); }
    Image& image() { return *machine.image(); }
    Result<void> write(std::uint64_t offset, std::uint64_t bytes, int value) {
        const std::vector<std::byte> data(bytes, static_cast<std::byte>(value));
        return world.run(image().write(GuestOffset{offset}, data));
    }
    int read(std::uint64_t offset) {
        std::array<std::byte, 1> byte{};
        EXPECT_TRUE(world.run(image().read(GuestOffset{offset}, byte)));
        return static_cast<int>(byte[0]);
    }

    World world;
    Machine machine;
};

Task<Result<void>> note_flush(Image& image, std::vector<bool>& outcomes) {
    outcomes.push_back((co_await image.flush()).has_value());
    co_return Result<void>{};
}

TEST(FlushTest, OnesThatWaitedForAFailedFlushFailToo) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        Stage stage(setup_of(WriteOrder::strict), seed);
        ASSERT_TRUE(stage.write(0, 512, 1));
        stage.machine.faults() = {.fail_at = 1, .kinds = io_bit(IoKind::flush)};

        std::vector<bool> outcomes;
        for (int flush = 0; flush < 3; ++flush) {
            stage.world.spawn(note_flush(stage.image(), outcomes), [] { return "a flush"; });
        }
        ASSERT_TRUE(stage.world.run());

        EXPECT_THAT(outcomes, testing::ElementsAre(false, false, false)) << "seed " << seed;
    }
}

Task<Result<void>> grow_and_write(Stage& stage, std::uint64_t at, std::vector<std::byte> data) {
    QED_CO_CHECK(co_await stage.image().resize(2 * 4096));
    QED_CO_CHECK(co_await stage.image().write(GuestOffset{at}, data));
    co_return Result<void>{};
}

// The image ends inside a cluster. A request for the whole image must not change space that a later
// resize adds.
void zero_the_end_and_grow(bool discards) {
    constexpr std::uint64_t kEnd = 4096 + 512;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        Stage stage(setup_of(WriteOrder::ordered, kEnd), seed);
        ASSERT_TRUE(stage.write(4096, 512, 1));
        const std::vector<std::byte> data(512, std::byte{2});
        stage.world.spawn(discards ? stage.image().discard(GuestOffset{4096}, 512)
                                   : stage.image().write_zeroes(GuestOffset{4096}, 512),
                          [] { return "zeroing"; });
        stage.world.spawn(grow_and_write(stage, kEnd, data), [] { return "growing"; });
        ASSERT_TRUE(stage.world.run());

        ASSERT_EQ(stage.read(kEnd), 2) << "seed " << seed;
        ASSERT_TRUE(discards || stage.read(4096) == 0) << "seed " << seed;
    }
}

TEST(ShortDiskTest, ZeroingTheEndKeepsDataWrittenAfterItOnceGrown) {
    zero_the_end_and_grow(false);
}

TEST(ShortDiskTest, DiscardingTheEndKeepsDataWrittenAfterItOnceGrown) {
    zero_the_end_and_grow(true);
}

// The write of the L1 sector fails, but its data may be in the file nevertheless.
TEST(FailedTableWriteTest, DiscardedClustersStayZeroAfterAKill) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        for (std::uint64_t nth = 1; nth <= 4; ++nth) {
            Stage stage(setup_of(WriteOrder::strict), seed);
            stage.machine.faults() = {.fail_at = nth, .kinds = io_bit(IoKind::write)};
            static_cast<void>(stage.write(0, 4096, 1));
            stage.machine.faults() = {};

            const auto discarded = stage.world.run(stage.image().discard(GuestOffset{0}, 4096));
            const auto flushed = stage.world.run(stage.image().flush());
            stage.machine.kill();
            ASSERT_TRUE(stage.machine.open());

            const bool is_zero = stage.read(0) == 0;
            EXPECT_TRUE(is_zero || !discarded || !flushed) << "seed " << seed << ", I/O " << nth;
        }
    }
}

// The flush that makes NEED_CHECK durable fails; a resize in flight writes the header once more.
TEST(FailedFlushTest, NoEntryIsWrittenBeforeNeedCheckIsDurable) {
    const std::vector<std::byte> data(4096, std::byte{1});
    for (std::uint64_t seed = 1; seed <= 600; ++seed) {
        Stage stage(setup_of(WriteOrder::ordered), seed);
        ASSERT_TRUE(stage.world.run(stage.image().flush()));
        stage.machine.faults() = {.fail_at = 1 + seed % 3, .kinds = io_bit(IoKind::flush)};
        for (const std::uint64_t cluster : {0U, 2U, 3U, 5U, 6U}) {
            stage.world.spawn(stage.image().write(GuestOffset{cluster * 4096}, data),
                              [] { return "a write"; });
        }
        stage.world.spawn(stage.image().resize(16 * 4096), [] { return "growing"; });
        ASSERT_TRUE(stage.world.run());

        const CrashPoint point = stage.machine.storage().crash_point(stage.world.tick());
        CrashStates(point, seed).visit({.samples = 20}, [&](const CrashState& state) {
            const ParsedImage parsed = parse_qed(state.content);
            if (HasFailure()) return;
            EXPECT_TRUE(parsed.needs_check || parsed.faults.empty())
                << "seed " << seed << ": " << parsed.faults.front();
        });
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace qed::sim
