// SPDX-License-Identifier: Apache-2.0
#include "ghost_list.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed::cache_sim {
namespace {

TEST(GhostListTest, GivesTheAgeOfAKeyOnce) {
    GhostList ghosts(64, 100);
    ghosts.advance(50);
    ghosts.remember(7, 20);
    ghosts.advance(30);
    EXPECT_EQ(ghosts.take(7), 50u);
    EXPECT_EQ(ghosts.take(7), std::nullopt);
    EXPECT_EQ(ghosts.take(8), std::nullopt);
}

TEST(GhostListTest, ForgetsAKeyThatIsOlderThanItsSpan) {
    GhostList ghosts(64, 100);
    ghosts.remember(7, 0);
    ghosts.remember(8, 1);
    ghosts.advance(100);
    EXPECT_EQ(ghosts.take(7), 100u);
    EXPECT_EQ(ghosts.take(8), std::nullopt);
}

TEST(GhostListTest, TheLastTimeThatAKeyIsRememberedCounts) {
    GhostList ghosts(64, 100);
    ghosts.remember(7, 0);
    ghosts.advance(60);
    ghosts.remember(7, 0);
    ghosts.advance(60);
    EXPECT_EQ(ghosts.take(7), 60u);
}

RC_GTEST_PROP(GhostListTest, KeepsTheYoungestKeysOfTooMany, ()) {
    // 64 slots in buckets of 4: of 6,400 keys at most 64 stay, and the youngest four always.
    GhostList ghosts(1, 1'000'000);
    const auto first = *rc::gen::inRange<EntryId>(0, 1'000'000);
    constexpr EntryId kKeys = 6400;
    for (EntryId key = first; key < first + kKeys; ++key) {
        ghosts.remember(key, 0);
        ghosts.advance(1);
    }
    for (EntryId age = 1; age <= 4; ++age)
        RC_ASSERT(ghosts.take(first + kKeys - age) == age);
    std::size_t kept = 4;
    for (EntryId key = first; key < first + kKeys; ++key)
        kept += ghosts.take(key).has_value();
    RC_ASSERT(kept <= 64u);
}

}  // namespace
}  // namespace qed::cache_sim
