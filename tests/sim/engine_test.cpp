// SPDX-License-Identifier: Apache-2.0
// Bugs that the explorers have found in the engine, each as the shortest story that shows it.
#include <gmock/gmock.h>

#include "sim/machine.hpp"
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

}  // namespace
}  // namespace qed::sim
