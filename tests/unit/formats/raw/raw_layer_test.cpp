// SPDX-License-Identifier: Apache-2.0
// A raw file as a disk image.
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::FileChange;
using test::MemoryFile;

TEST(RawLayerTest, DurableZeroesAreFlushed) {
    for (const WriteFlags how : {WriteFlags::none, WriteFlags::may_unmap}) {
        auto owned = std::make_unique<MemoryFile>(1U << 20);
        owned->fill(0, 1U << 20, std::byte{1});
        std::vector<FileChange> history;
        owned->history = &history;
        auto disk = Image::open_raw(std::move(owned));
        ASSERT_TRUE(disk.has_value());

        ASSERT_TRUE((*disk)->write_zeroes_blocking({0}, 65536, how | WriteFlags::fua).has_value());

        ASSERT_FALSE(history.empty());
        EXPECT_EQ(history.back().kind, IoKind::flush);
    }
}

}  // namespace
}  // namespace qed
