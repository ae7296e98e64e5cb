// SPDX-License-Identifier: Apache-2.0
#include "qed/frame_pool.hpp"

#include <algorithm>
#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/failing_new.hpp"
#include "support/sanitized.hpp"

namespace qed {
namespace {

constexpr bool kIsSanitized = QED_TEST_SANITIZED != 0;

/// Takes `count` frames and returns them all.
void use_frames(std::size_t count, std::size_t bytes) {
    std::vector<void*> frames(count);
    for (void*& frame : frames)
        frame = FramePool::take(bytes);
    for (void* frame : frames)
        FramePool::give(frame, bytes);
}

class FramePoolTest : public testing::Test {
protected:
    void SetUp() override {
        FramePool::keep_at_most(0);
        FramePool::keep_at_most(FramePool::kMaxKept);
    }
};

TEST_F(FramePoolTest, AFrameThatHasEndedIsUsedForTheNext) {
    if (kIsSanitized) GTEST_SKIP() << "sanitizers are shown every frame";
    use_frames(1, 500);
    test::allocations_until_failure = 0;
    void* frame = FramePool::take(500);
    test::allocations_until_failure = -1;
    EXPECT_NE(frame, nullptr);
    EXPECT_EQ(FramePool::kept(), 0U);
    FramePool::give(frame, 500);
}

TEST_F(FramePoolTest, WithoutMemoryThereIsNoFrame) {
    const test::FailingNew failing(0);
    EXPECT_EQ(FramePool::take(200), nullptr);
    EXPECT_EQ(FramePool::take(std::size_t{1} << 20), nullptr);
}

TEST_F(FramePoolTest, SanitizersAreShownEveryFrame) {
    use_frames(1, 500);
    EXPECT_EQ(FramePool::kept() == 0, kIsSanitized);
}

TEST_F(FramePoolTest, KeptBytesOfAThreadAreLimited) {
    for (const std::size_t bytes : {1U, 128U, 129U, 1000U, 2048U, 2049U, 100'000U})
        use_frames(1000, bytes);
    EXPECT_LE(FramePool::kept(), FramePool::kMaxKept);
    FramePool::keep_at_most(3000);
    EXPECT_LE(FramePool::kept(), 3000U);
}

TEST_F(FramePoolTest, FramesOfOneSizeDoNotServeLongerOnes) {
    use_frames(10, 128);
    std::vector<void*> frames;
    for (int i = 0; i < 10; ++i) {
        frames.push_back(FramePool::take(1024));
        std::fill_n(static_cast<char*>(frames.back()), 1024, static_cast<char>(i));
    }
    for (int i = 0; i < 10; ++i) {
        const auto* bytes = static_cast<const char*>(frames[static_cast<std::size_t>(i)]);
        EXPECT_EQ(std::count(bytes, bytes + 1024, static_cast<char>(i)), 1024);
        FramePool::give(frames[static_cast<std::size_t>(i)], 1024);
    }
}

TEST_F(FramePoolTest, AFrameMayEndOnAnotherThreadWhichFreesItAtItsEnd) {
    const long before = test::living_allocations;
    std::array<void*, 100> frames{};
    for (void*& frame : frames)
        frame = FramePool::take(300);
    std::size_t kept = 0;
    std::thread([&] {
        for (void* frame : frames)
            FramePool::give(frame, 300);
        kept = FramePool::kept();
    }).join();
    EXPECT_EQ(kept != 0, !kIsSanitized);
    EXPECT_EQ(FramePool::kept(), 0U);
    EXPECT_EQ(test::living_allocations, before);
}

/// Uses a frame when the thread that owns it ends.
struct UsesFramesAtTheEnd {
    ~UsesFramesAtTheEnd() { use_frames(3, 300); }
};

TEST_F(FramePoolTest, DestructorsOfAnEndingThreadMayUseFrames) {
    const long before = test::living_allocations;
    std::thread([] {
        thread_local const UsesFramesAtTheEnd last;  // made first, so destroyed last
        static_cast<void>(last);
        use_frames(3, 300);
    }).join();
    EXPECT_EQ(test::living_allocations, before);
}

}  // namespace
}  // namespace qed
