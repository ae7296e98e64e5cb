// SPDX-License-Identifier: Apache-2.0
// How far a guest that never flushes can make the image file grow.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::uint64_t kWrite = 256U << 10;

class FreedSpaceTest : public testing::TestWithParam<WriteOrder> {};

// 320 MiB are written and discarded; 64 MiB of freed clusters may wait for a flush.
TEST_P(FreedSpaceTest, WithoutFlushesTheFileStaysBounded) {
    auto owned = test::make_layer(kMiB, false);
    MemoryFile& file = *owned;
    OpenOptions options;
    options.writable = true;
    options.order = GetParam();
    auto image = *sync_wait(Image::open_file(std::move(owned), nullptr, options));
    const std::vector<std::byte> data(kWrite, std::byte{7});
    std::uint64_t longest = 0;
    for (int round = 0; round < 1280; ++round) {
        ASSERT_TRUE(image->write_blocking({0}, data));
        ASSERT_TRUE(image->discard_blocking({0}, kWrite));
        longest = std::max(longest, file.bytes());
    }
    EXPECT_LE(longest, (1 + 64 + 16) * kMiB);
    EXPECT_GT(image->stats().reused_clusters, 0U);
}

INSTANTIATE_TEST_SUITE_P(Orders, FreedSpaceTest,
                         testing::Values(WriteOrder::ordered, WriteOrder::strict,
                                         WriteOrder::deferred));

}  // namespace
}  // namespace qed
