// SPDX-License-Identifier: Apache-2.0
// What the table cache promises, one test for each sentence; reads end when the test says so.
#include "cache/table_cache.hpp"

#include <gtest/gtest.h>

#include "cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

TEST(TableCacheTest, AMissReadsTheSliceAndTheNextLookupHits) {
    SharedBudget budget(kMiB);
    TableImage image(budget);
    image.put(7, 5 * 65536);
    EXPECT_EQ(image.find(7).kind, Lookup::Kind::miss);

    auto load = image.start_load(7);
    EXPECT_FALSE(load.done());
    EXPECT_EQ(image.find(7).kind, Lookup::Kind::miss) << "nobody sees a slice that is being read";
    image.end_read();

    ASSERT_TRUE(load.done());
    EXPECT_EQ(load.result()->kind, Lookup::Kind::data);
    EXPECT_EQ(load.result()->file_offset, 5U * 65536);
    EXPECT_EQ(image.find(7).file_offset, 5U * 65536);
    EXPECT_EQ(image.file.reads(), 1U) << "the hit read nothing";
}

}  // namespace
}  // namespace qed::test
